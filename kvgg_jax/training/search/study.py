"""A study of Optuna whose trials are runs; one that was stopped is continued at the next start."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kvgg_jax.core.config import RunConfig
from kvgg_jax.core.config_file import with_values
from kvgg_jax.core.errors import (
    ConfigError,
    NonFiniteLoss,
    OutOfMemory,
    Stopped,
    WeightsMismatch,
)
from kvgg_jax.core.events import Emit, EpochEnded, Event, Note, Warned, ignore
from kvgg_jax.core.history import Epoch, Monitor, rank, title
from kvgg_jax.core.text import escape_name, figure
from kvgg_jax.runs.folder import Run, write_file
from kvgg_jax.training.loop import never
from kvgg_jax.training.search.group import check_photos, finish
from kvgg_jax.training.search.space import Range, Space, Value, short
from kvgg_jax.training.search.storage import Storage, number

if TYPE_CHECKING:
    import optuna

BEST = "best.toml"


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
    host: str | None = None
    """Where its run is, if a database keeps the search."""
    monitor: Monitor = "accuracy"
    """What the search is for."""
    val_balanced_accuracy: float | None = None
    val_macro_f1: float | None = None

    @property
    def monitored(self) -> float | None:
        """What is monitored of its best epoch."""
        value: float | None = getattr(self, f"val_{self.monitor}")
        return value

    @property
    def rank(self) -> tuple[float, float, int]:
        """Larger is better: what is monitored, then low validation loss, then early."""
        value, loss = self.monitored, self.val_loss
        if self.state != "complete" or value is None or loss is None:
            value = loss = math.nan
        return rank(self.monitor, value, loss, self.number)


@dataclass(frozen=True, kw_only=True)
class Search:
    """A study of Optuna and the runs of its trials. The caller holds the folder."""

    folder: Path
    storage: Storage
    config: RunConfig
    space: Space
    stop: Callable[[], bool] = never
    before_run: Callable[[], None] | None = None
    emit: Emit = ignore

    def ended(self) -> list[Trial]:
        """Trials that have ended, in order."""
        return [
            Trial(
                number=number(trial),
                run=self._run(trial).path,
                values=trial.params,
                host=trial.user_attrs.get("host"),
                monitor=self.config.train.monitor,
                **trial.user_attrs["end"],
            )
            for trial in self.storage.ended()
        ]

    def run_next(self, trials: int) -> bool:
        """Take a trial to its end. False where `trials` have ended already."""
        trial = self.storage.take(trials, stop=self.stop, emit=self.emit)
        if trial is None:
            return False
        with self.storage.held(trial, emit=self.emit):
            self._try(trial, trials)
        return True

    def _try(self, trial: optuna.Trial, trials: int) -> None:
        kept = self.storage.study.trials[trial.number]
        values = {key: _suggest(trial, key, choices) for key, choices in self.space.items()}
        tried = ", ".join(f"{key} {short(value)}" for key, value in values.items())
        self.emit(Note(f"Trial {number(kept)} of {trials}: {tried}"))
        run, config = self._run(kept), with_values(self.config, values, where="space")
        try:
            state = self._train(trial, run, config, known=set(kept.intermediate_values))
        except NonFiniteLoss:
            state = "diverged"
        except OutOfMemory:
            state = "out of memory"
        except (ConfigError, WeightsMismatch) as error:  # legal alone, but not all together
            self.emit(Warned(str(error)))
            state = "refused"
        self._end(trial, run, state)

    def _train(self, trial: optuna.Trial, run: Run, config: RunConfig, *, known: set[int]) -> str:
        """Train, or resume, until the end or until Optuna prunes; how it ended."""
        pruned = False

        def report(row: Epoch) -> None:
            nonlocal pruned
            if row.epoch not in known:
                trial.report(row.monitored(self.config.train.monitor), row.epoch)
                known.add(row.epoch)
            pruned = trial.should_prune()

        def listen(event: Event) -> None:
            self.emit(event)
            if isinstance(event, EpochEnded):
                report(event.row)

        def stop() -> bool:
            return pruned or self.stop()

        def check(run: Run) -> None:
            check_photos(run)
            self.storage.check_photos(trial, run)

        for row in run.history():  # what an earlier start had no time to report
            report(row)
        try:
            finish(run, config, stop=stop, before_run=self.before_run, check=check, emit=listen)
        except Stopped:
            if not pruned:
                raise
            return "pruned"
        return "complete"

    def _end(self, trial: optuna.Trial, run: Run, state: str) -> None:
        import optuna

        history, study = run.history(), self.storage.study
        best, monitor = history.best, self.config.train.monitor
        value = math.nan if best is None else best.monitored(monitor)
        if state == "complete" and not math.isfinite(value):  # Optuna would not take it
            state = "diverged"
        end = {
            "state": state,
            "epochs": len(history),
            "epoch": best and best.epoch,
            "val_accuracy": best and best.val_accuracy,
            "val_loss": best and best.val_loss,
            "seconds": history.seconds,
            **(best.extra if best else {}),
        }
        trial.set_user_attr("end", end)
        if state == "complete":
            study.tell(trial, value)
        else:  # to Optuna a trial that diverged is one not to repeat
            study.tell(trial, state=optuna.trial.TrialState.PRUNED)
        text = f"Trial {number(study.trials[trial.number])}: {state}"
        if best is not None:
            text += f", {best.describe(monitor)}"
        top = self.write_best()
        if top.state == "complete":
            text += f"; best so far: trial {top.number}, {figure(top.monitored, '.4f')}"
        self.emit(Note(text))

    def write_best(self) -> Trial:
        """The best trial, its settings in `best.toml` if it is complete. Raises RunError."""
        best = max(self.ended(), key=lambda trial: trial.rank)
        if best.state == "complete":
            head = f"# Trial {best.number} of {escape_name(self.folder)}: validation "
            head += f"{title(best.monitor)} {best.monitored:.4f} in epoch {best.epoch}\n"
            toml = with_values(self.config, best.values, where="space").to_toml()
            write_file(self.folder / BEST, head + toml)
        return best

    def _run(self, trial: optuna.trial.FrozenTrial) -> Run:
        return Run(self.folder / f"trial-{number(trial):03}")


def _suggest(trial: optuna.Trial, key: str, choices: tuple[Value, ...] | Range) -> Any:
    if not isinstance(choices, Range):
        return trial.suggest_categorical(key, choices)
    if choices.is_whole:
        return trial.suggest_int(key, int(choices.low), int(choices.high), log=choices.log)
    return trial.suggest_float(key, choices.low, choices.high, log=choices.log)
