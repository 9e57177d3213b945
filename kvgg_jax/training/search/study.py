"""A study of Optuna whose trials are runs; where one was cut, the next start goes on with it."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kvgg_jax.core.config import RunConfig
from kvgg_jax.core.config_file import with_values
from kvgg_jax.core.errors import (
    ConfigError,
    NonFiniteLoss,
    OutOfMemory,
    RunError,
    Stopped,
    WeightsMismatch,
)
from kvgg_jax.core.events import Emit, EpochEnded, Event, Note, Warned
from kvgg_jax.core.history import History
from kvgg_jax.core.process import is_own_process
from kvgg_jax.core.text import escape_name
from kvgg_jax.runs.folder import Run, write_file
from kvgg_jax.training.search.group import finish
from kvgg_jax.training.search.space import Range, Space, Value, short

if TYPE_CHECKING:
    import optuna

JOURNAL = "journal.jsonl"
BEST = "best.toml"
STUDY = "kvgg"


@dataclass(frozen=True, slots=True)
class Trial:
    """One run of a search; the figures are of its best epoch, None where no epoch ended."""

    number: int
    """From 1, as in the name of its run."""
    run: Path
    values: dict[str, Value]
    """What it tried: dotted key -> value."""
    state: str
    """`complete`, `pruned` (worse than the median of the others), `diverged`, `out of memory`,
    `refused` (settings that do not go together)."""
    epochs: int
    """How many ended."""
    epoch: int | None
    val_accuracy: float | None
    val_loss: float | None
    seconds: float

    @property
    def rank(self) -> tuple[float, float, int]:
        """Larger is better: validation accuracy, then low validation loss, then early."""
        accuracy, loss = self.val_accuracy, self.val_loss
        if self.state != "complete" or accuracy is None or loss is None:
            return -1.0, 0.0, -self.number
        return accuracy, -loss, -self.number


class Search:
    """A study of Optuna and the runs of its trials. The caller holds the folder."""

    def __init__(
        self,
        folder: Path,
        config: RunConfig,
        space: Space,
        *,
        stop: Callable[[], bool],
        before_run: Callable[[], None],
        emit: Emit,
    ) -> None:
        self.folder, self._config, self._space = folder, config, space
        self._stop, self._before_run, self._emit = stop, before_run, emit
        self._study = _open_study(folder / JOURNAL, warmup=config.train.epochs // 3 + 1)

    def told(self) -> list[Trial]:
        """Trials that have an end, in order."""
        return [
            Trial(
                trial.number + 1,
                self._run(trial.number).path,
                trial.params,
                **trial.user_attrs["end"],
            )
            for trial in self._study.trials
            if trial.state.is_finished()
        ]

    def run_next(self, trials: int) -> None:
        """Go on with the trial that was cut, or begin one, and take it to its end."""
        trial = self._ask()
        values = {key: _suggest(trial, key, choices) for key, choices in self._space.items()}
        tried = ", ".join(f"{key} {short(value)}" for key, value in values.items())
        self._emit(Note(f"Trial {trial.number + 1} of {trials}: {tried}"))
        try:
            state = self._train(trial, with_values(self._config, values, where="space"))
        except (ConfigError, WeightsMismatch) as error:  # legal alone, but not all together
            self._emit(Warned(str(error)))
            state = "refused"
        self._tell(trial, state)

    def _ask(self) -> optuna.Trial:
        import optuna

        cut = [trial for trial in self._study.trials if not trial.state.is_finished()]
        number = cut[0].number if cut else len(self._study.trials)
        seed = int(np.random.default_rng([self._config.seed, number]).integers(2**31))
        self._study.sampler = optuna.samplers.TPESampler(seed=seed)
        if cut:
            return optuna.Trial(self._study, cut[0]._trial_id)
        return self._study.ask()

    def _train(self, trial: optuna.Trial, config: RunConfig) -> str:
        """Train, or go on, until the end or until Optuna prunes; how it ended."""
        run, pruned = self._run(trial.number), False
        known = set(self._study.trials[trial.number].intermediate_values)

        def report(history: History) -> None:
            nonlocal pruned
            for row in history:
                if row.epoch not in known:
                    trial.report(row.val_accuracy, row.epoch)
                    known.add(row.epoch)
            pruned = len(history) > 0 and trial.should_prune()

        def listen(event: Event) -> None:
            self._emit(event)
            if isinstance(event, EpochEnded):
                report(History((event.row,)))

        def stop() -> bool:
            return pruned or self._stop()

        report(run.history())  # what an earlier start had no time to tell
        try:
            finish(
                run,
                config,
                check=self._check_photos,
                stop=stop,
                before_run=self._before_run,
                emit=listen,
            )
        except Stopped:
            if not pruned:
                raise
            return "pruned"
        except NonFiniteLoss:
            return "diverged"
        except OutOfMemory:
            return "out of memory"
        return "complete"

    def _check_photos(self, run: Run) -> None:
        """Raises RunError where a trial would be judged on other photos than those before it."""
        now = {f"photos of {run.config().image_size} px": run.photos(), "split": run.split_digest()}
        then = self._study.user_attrs
        if any(then.get(key, found) != found for key, found in now.items()):
            raise RunError(
                f"The photos changed since {self.folder} was begun, so its trials cannot be "
                f"compared. Put them back and remove {run.path}, or search anew: --name NAME."
            )
        for key in now.keys() - then.keys():
            self._study.set_user_attr(key, now[key])

    def _tell(self, trial: optuna.Trial, state: str) -> None:
        import optuna

        history = self._run(trial.number).history()
        best = history.best
        trial.set_user_attr(
            "end",
            {
                "state": state,
                "epochs": len(history),
                "epoch": best and best.epoch,
                "val_accuracy": best and best.val_accuracy,
                "val_loss": best and best.val_loss,
                "seconds": history.seconds,
            },
        )
        if state == "complete":
            assert best is not None, "a complete run has an epoch"
            self._study.tell(trial, best.val_accuracy)
        else:  # to Optuna a trial that diverged is one not to repeat
            self._study.tell(trial, state=optuna.trial.TrialState.PRUNED)
        self._say(self.told())

    def _say(self, told: list[Trial]) -> None:
        last, best = told[-1], self.write_best(told)
        figure = "" if last.val_accuracy is None else f", accuracy {last.val_accuracy:.4f}"
        text = f"Trial {last.number}: {last.state}{figure}"
        if best.state == "complete":
            assert best.val_accuracy is not None
            text += f"; best so far: trial {best.number}, {best.val_accuracy:.4f}"
        self._emit(Note(text))

    def write_best(self, told: list[Trial]) -> Trial:
        """The best trial, its settings in `best.toml` if it is complete. Raises RunError."""
        best = max(told, key=lambda trial: trial.rank)
        if best.state != "complete":
            return best
        head = f"# Trial {best.number} of {escape_name(self.folder)}: validation accuracy"
        found = f"{head} {best.val_accuracy:.4f} in epoch {best.epoch}\n"
        toml = with_values(self._config, best.values, where="space").to_toml()
        write_file(self.folder / BEST, found + toml)
        return best

    def _run(self, number: int) -> Run:
        return Run(self.folder / f"trial-{number + 1:03}")


def _open_study(file: Path, *, warmup: int) -> optuna.Study:
    """The study kept in `file`. A trial is pruned below the median, from epoch `warmup` on."""
    import optuna
    from optuna.storages.journal import JournalFileBackend, JournalStorage

    if is_own_process():
        optuna.logging.set_verbosity(optuna.logging.WARNING)
    if file.exists():  # a loss of power may leave half a line, and a lock that nobody holds
        os.truncate(file, file.read_bytes().rfind(b"\n") + 1)
        file.with_name(f"{file.name}.lock").unlink(missing_ok=True)
    return optuna.create_study(
        storage=JournalStorage(JournalFileBackend(str(file))),
        study_name=STUDY,
        direction="maximize",
        pruner=optuna.pruners.MedianPruner(n_warmup_steps=warmup),
        load_if_exists=True,
    )


def _suggest(trial: optuna.Trial, key: str, choices: tuple[Value, ...] | Range) -> Any:
    if not isinstance(choices, Range):
        return trial.suggest_categorical(key, choices)
    if choices.is_whole:
        return trial.suggest_int(key, int(choices.low), int(choices.high), log=choices.log)
    return trial.suggest_float(key, choices.low, choices.high, log=choices.log)
