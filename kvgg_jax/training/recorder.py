"""What the loop has reached, kept in a run folder; and where a run stands, read back from it.

The order of writing is what makes a run whole after a crash at any moment:
`last` (with the epoch's sums), then the epoch's row in `history.csv`, then `best`. So a row always
has its state, and whatever is missing can be made again from what came before it.
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
    """Keeps one run; `steps` is how many an epoch has."""

    def __init__(self, run: Run, checkpoints: Checkpoints, *, steps: int, emit: Emit) -> None:
        self._run, self._checkpoints = run, checkpoints
        self._steps, self._emit = steps, emit

    def save(self, state: TrainState, partial: EpochProgress) -> None:
        """Start saving all that a resume needs. Raises RunError when the save before failed."""
        self._checkpoints.save_last(state, asdict(partial))

    def record(self, state: TrainState, history: History) -> None:
        """Write `history.csv`, then start saving the weights when its last epoch is the best."""
        self._checkpoints.wait()  # a row without its state could not be gone on from
        self._run.write("history.csv", history.to_csv())
        if history.best == history.epochs[-1]:
            self._checkpoints.save_best(with_ema_weights(state), history.best)

    def restore(self, fresh: TrainState) -> RunProgress:
        """Where the run stands; at `fresh` when nothing was saved yet.

        Raises RunError when all states are damaged or gone, or rows of the history are missing.
        """
        written, found = self._run.history(), self._checkpoints.load_last(fresh)
        if found is None:
            if len(written):
                raise RunError(
                    f"{self._run.path / 'history.csv'} has {len(written)} epochs, but "
                    f"{self._checkpoints.folder / 'last'} holds no checkpoint. "
                    "Put back a copy of it, or start a new run."
                )
            return RunProgress(fresh, History())
        state, notes = found
        epochs, amid = divmod(int(state.step), self._steps)
        history = written.upto(epochs)
        partial = EpochProgress(**notes)  # type: ignore[arg-type]
        if not amid and len(history) == epochs:
            partial = NOTHING_YET  # it has its row
        complete = epochs if amid else epochs - 1  # whose rows cannot be made again
        if len(history) < complete:
            raise RunError(
                f"{self._run.path / 'history.csv'} has {len(history)} of the {complete} epochs "
                "that the last checkpoint knows. Put the file back, or start a new run."
            )
        if history != written:
            self._run.write("history.csv", history.to_csv())
        progress = RunProgress(state, history, partial)
        self._mend_best(progress)
        self._emit(Note(self._where(progress)))
        return progress

    def _mend_best(self, progress: RunProgress) -> None:
        """Save the best weights again where the state has them, else say that they are lost.

        Weights of an epoch that is to come, since the newest state was damaged, would belie the
        history; they go where those that it tells of are whole.
        """
        best = progress.history.best
        if best is None:
            return
        if self._checkpoints.has_best(best.epoch * self._steps):
            self._checkpoints.drop_best_after(int(progress.state.step))
        elif best.epoch * self._steps == int(progress.state.step):
            self._checkpoints.save_best(with_ema_weights(progress.state), best)
        else:
            self._emit(
                Warned(
                    f"The weights of epoch {best.epoch}, the best so far, are lost: "
                    f"{self._checkpoints.folder / 'best'} has no whole copy of them."
                )
            )

    def _where(self, progress: RunProgress) -> str:
        step, partial = int(progress.state.step), progress.partial
        if partial.steps == self._steps:
            return f"Going on with the validation of epoch {len(progress.history) + 1}"
        return (
            f"Going on in epoch {len(progress.history) + 1}, after step {partial.steps} of "
            f"{self._steps} (step {step} of the run)"
        )
