"""What a run has reached: saved in its folder during training, and restored for a resume.

The order of writing makes a crash at any moment harmless: `last` (with the epoch's sums), then the
epoch's row in `history.csv`, then `best`. So each row has its state, and whatever is missing can be
made again from what came before it.
"""

from __future__ import annotations

from dataclasses import asdict

from kvgg_jax.core.errors import RunError
from kvgg_jax.core.events import Emit, Note, Warned
from kvgg_jax.core.history import NOTHING_YET, EpochProgress, History
from kvgg_jax.core.state import TrainState
from kvgg_jax.runs.checkpoint import Checkpoints
from kvgg_jax.runs.folder import Run
from kvgg_jax.training.ema import with_ema_weights
from kvgg_jax.training.loop import RunProgress


class Recorder:
    """Saves one run; `steps` is how many an epoch has."""

    def __init__(self, run: Run, checkpoints: Checkpoints, *, steps: int, emit: Emit) -> None:
        self._run, self._checkpoints = run, checkpoints
        self._steps, self._emit = steps, emit
        self._history, self._best = run.path / "history.csv", checkpoints.folder / "best"

    def save(self, state: TrainState, partial: EpochProgress) -> None:
        """Start saving all that a resume needs. Raises RunError when the save before failed."""
        self._checkpoints.save_last(state, asdict(partial))

    def wait(self) -> None:
        """Until what was saved is on the disk. Raises RunError when it is not."""
        self._checkpoints.wait()

    def record(self, state: TrainState, history: History) -> None:
        """Write `history.csv`, then start saving the weights when its last epoch is the best."""
        self.wait()  # a row without its state could not be resumed from
        self._run.write("history.csv", history.to_csv())
        if history.best == history.epochs[-1]:
            self._checkpoints.save_best(with_ema_weights(state), history.best)

    def restore(self, fresh: TrainState) -> RunProgress:
        """How far the run has come; `fresh` when nothing was saved yet.

        Raises RunError when all states are damaged or gone, or rows of the history are missing.
        """
        written, found = self._run.history(), self._checkpoints.load_last(fresh)
        if found is None:
            if len(written):
                raise RunError(
                    f"{self._history} has {len(written)} epochs, but "
                    f"{self._checkpoints.folder / 'last'} has no checkpoint. "
                    "Restore a copy of it, or start a new run."
                )
            return RunProgress(fresh, written)
        state, notes = found
        epochs, amid = divmod(int(state.step), self._steps)
        history = written.upto(epochs)
        partial = EpochProgress(**notes)  # type: ignore[arg-type]
        if not amid and len(history) == epochs:
            partial = NOTHING_YET  # it has its row
        complete = epochs if amid else epochs - 1  # whose rows cannot be made again
        if len(history) < complete:
            raise RunError(
                f"{self._history} has {len(history)} of the {complete} epochs that the last "
                "checkpoint knows. Restore the file, or start a new run."
            )
        if history != written:
            self._run.write("history.csv", history.to_csv())
        progress = RunProgress(state, history, partial)
        self._restore_best(progress)
        self._emit(Note(self._where(progress)))
        return progress

    def _restore_best(self, progress: RunProgress) -> None:
        """Save the best weights again where the state has them, else warn that they are lost.

        Where the newest state was damaged, `best` may hold weights of an epoch that is trained
        again: they are removed.
        """
        best = progress.history.best
        if best is None:
            return
        if self._checkpoints.has_best(best.epoch * self._steps):
            self._checkpoints.drop_best_after(int(progress.state.step))
        elif best.epoch * self._steps == int(progress.state.step):
            self._checkpoints.save_best(with_ema_weights(progress.state), best)
        else:
            text = f"The weights of epoch {best.epoch}, the best so far, are lost"
            self._emit(Warned(f"{text}: {self._best} has no intact copy of them."))

    def _where(self, progress: RunProgress) -> str:
        step, done = int(progress.state.step), progress.partial.steps
        epoch = len(progress.history) + 1
        if done == self._steps:
            return f"Resuming with the validation of epoch {epoch}"
        where = f"after step {done} of {self._steps} (step {step} of the run)"
        return f"Resuming in epoch {epoch}, {where}"
