"""A study of Optuna whose trials are runs; one that was stopped is continued at the next start."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

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
from kvgg_jax.core.history import Epoch
from kvgg_jax.core.process import is_own_process
from kvgg_jax.core.text import escape_name, figure
from kvgg_jax.runs.folder import Run, write_file
from kvgg_jax.training.loop import never
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


@dataclass(frozen=True, kw_only=True)
class Search:
    """A study of Optuna and the runs of its trials. The caller holds the folder."""

    folder: Path
    config: RunConfig
    space: Space
    stop: Callable[[], bool] = never
    before_run: Callable[[], None] | None = None
    emit: Emit = ignore

    @cached_property
    def study(self) -> optuna.Study:
        """What Optuna knows of the trials, kept in a file of the folder."""
        return _open_study(self.folder / JOURNAL, warmup=self.config.train.epochs // 3 + 1)

    def ended(self) -> list[Trial]:
        """Trials that have ended, in order."""
        return [
            Trial(t.number + 1, self._run(t.number).path, t.params, **t.user_attrs["end"])
            for t in self.study.trials
            if t.state.is_finished()
        ]

    def run_next(self, trials: int) -> None:
        """Continue the trial that was stopped, or start one, and take it to its end."""
        trial = self._ask()
        values = {key: _suggest(trial, key, choices) for key, choices in self.space.items()}
        tried = ", ".join(f"{key} {short(value)}" for key, value in values.items())
        self.emit(Note(f"Trial {trial.number + 1} of {trials}: {tried}"))
        try:
            state = self._train(trial, with_values(self.config, values, where="space"))
        except NonFiniteLoss:
            state = "diverged"
        except OutOfMemory:
            state = "out of memory"
        except (ConfigError, WeightsMismatch) as error:  # legal alone, but not all together
            self.emit(Warned(str(error)))
            state = "refused"
        self._end(trial, state)

    def _ask(self) -> optuna.Trial:
        """A trial, whose settings depend on seed, number and the trials before it alone."""
        import optuna

        cut = [trial for trial in self.study.trials if not trial.state.is_finished()]
        number = cut[0].number if cut else len(self.study.trials)
        seed = int(np.random.default_rng([self.config.seed, number]).integers(2**31))
        self.study.sampler = optuna.samplers.TPESampler(seed=seed)
        return optuna.Trial(self.study, cut[0]._trial_id) if cut else self.study.ask()

    def _train(self, trial: optuna.Trial, config: RunConfig) -> str:
        """Train, or resume, until the end or until Optuna prunes; how it ended."""
        run, pruned = self._run(trial.number), False
        known = set(self.study.trials[trial.number].intermediate_values)

        def report(row: Epoch) -> None:
            nonlocal pruned
            if row.epoch not in known:
                trial.report(row.val_accuracy, row.epoch)
                known.add(row.epoch)
            pruned = trial.should_prune()

        def listen(event: Event) -> None:
            self.emit(event)
            if isinstance(event, EpochEnded):
                report(event.row)

        def stop() -> bool:
            return pruned or self.stop()

        for row in run.history():  # what an earlier start had no time to report
            report(row)
        try:
            finish(run, config, stop=stop, before_run=self.before_run, emit=listen)
        except Stopped:
            if not pruned:
                raise
            return "pruned"
        return "complete"

    def _end(self, trial: optuna.Trial, state: str) -> None:
        import optuna

        history = self._run(trial.number).history()
        best = history.best
        end = {
            "state": state,
            "epochs": len(history),
            "epoch": best and best.epoch,
            "val_accuracy": best and best.val_accuracy,
            "val_loss": best and best.val_loss,
            "seconds": history.seconds,
        }
        trial.set_user_attr("end", end)
        if state == "complete":
            self.study.tell(trial, end["val_accuracy"])
        else:  # to Optuna a trial that diverged is one not to repeat
            self.study.tell(trial, state=optuna.trial.TrialState.PRUNED)
        text = f"Trial {trial.number + 1}: {state}"
        if best is not None:
            text += f", accuracy {best.val_accuracy:.4f}"
        top = self.write_best()
        if top.state == "complete":
            text += f"; best so far: trial {top.number}, {figure(top.val_accuracy, '.4f')}"
        self.emit(Note(text))

    def write_best(self) -> Trial:
        """The best trial, its settings in `best.toml` if it is complete. Raises RunError."""
        best = max(self.ended(), key=lambda trial: trial.rank)
        if best.state == "complete":
            head = f"# Trial {best.number} of {escape_name(self.folder)}: validation accuracy"
            head += f" {best.val_accuracy:.4f} in epoch {best.epoch}\n"
            toml = with_values(self.config, best.values, where="space").to_toml()
            write_file(self.folder / BEST, head + toml)
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
