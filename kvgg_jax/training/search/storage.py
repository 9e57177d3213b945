"""Where Optuna keeps a search. A file in its folder is here, a database is in `database`.

A worker asks for a trial with `take`, trains it within `held`, and ends it with Optuna's `tell`.
"""

from __future__ import annotations

import contextlib
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from kvgg_jax.core.events import Emit
from kvgg_jax.core.process import is_own_process
from kvgg_jax.runs.folder import Run

if TYPE_CHECKING:
    import optuna

Direction = Literal["maximize", "minimize"]
JOURNAL = "journal.jsonl"
JOURNAL_STUDY = "kvgg"


class Storage(ABC):
    """The trials of one search, as Optuna knows them."""

    is_shared: bool
    study: optuna.Study

    def __init__(self, seed: int, warmup: int, direction: Direction) -> None:
        """`seed` is the run's; a trial is pruned that is worse than the median, by `direction`,
        from epoch `warmup` on."""
        self.seed, self.warmup, self.direction = seed, warmup, direction

    def ended(self) -> list[optuna.trial.FrozenTrial]:
        """Trials whose figures are known, in their order."""
        import optuna

        known = (optuna.trial.TrialState.COMPLETE, optuna.trial.TrialState.PRUNED)
        return sorted(self.study.get_trials(states=known), key=number)

    @abstractmethod
    def take(self, trials: int, *, stop: Callable[[], bool], emit: Emit) -> optuna.Trial | None:
        """A trial to train, which may be one that was stopped; None once `trials` have ended."""

    @abstractmethod
    @contextlib.contextmanager
    def held(self, trial: optuna.Trial, *, emit: Emit) -> Iterator[None]:
        """No other worker takes `trial` meanwhile."""

    @abstractmethod
    def check_photos(self, trial: optuna.Trial, run: Run) -> None:
        """Raises RunError where a trial of another worker has other photos than `run`."""

    def _ask(self) -> optuna.Trial:
        """A new trial: its settings depend on the seed, its number and the trials before it."""
        import optuna

        seed = np.random.default_rng([self.seed, len(self.study.trials)]).integers(2**31)
        # of trials that others train at the moment it assumes the worst, not to repeat them
        self.study.sampler = optuna.samplers.TPESampler(
            seed=int(seed), constant_liar=self.is_shared
        )
        return self.study.ask()

    def _create(self, storage: Any, name: str) -> optuna.Study:
        import optuna

        if is_own_process():
            optuna.logging.set_verbosity(optuna.logging.WARNING)
        return optuna.create_study(
            storage=storage,
            study_name=name,
            direction=self.direction,
            pruner=optuna.pruners.MedianPruner(n_warmup_steps=self.warmup),
            load_if_exists=True,
        )


def number(trial: optuna.trial.FrozenTrial) -> int:
    """From 1. A trial that a worker gave up is taken again, as a new one, under its old number."""
    return int(trial.system_attrs.get("failed_trial", trial.number)) + 1


class Journal(Storage):
    """A file in the search's folder, for one process, which holds the folder."""

    is_shared = False

    def __init__(
        self, folder: Path, *, seed: int, warmup: int, direction: Direction = "maximize"
    ) -> None:
        """Create it, or open it as a kill left it."""
        from optuna.storages.journal import JournalFileBackend, JournalStorage

        super().__init__(seed, warmup, direction)
        file = folder / JOURNAL
        if file.exists():  # a loss of power may leave half a line, and a lock that nobody holds
            os.truncate(file, file.read_bytes().rfind(b"\n") + 1)
            file.with_name(f"{file.name}.lock").unlink(missing_ok=True)
        self.study = self._create(JournalStorage(JournalFileBackend(str(file))), JOURNAL_STUDY)

    def take(self, trials: int, *, stop: Callable[[], bool], emit: Emit) -> optuna.Trial | None:
        """First the trial that was stopped."""
        import optuna

        if len(self.ended()) >= trials:
            return None
        cut = [trial for trial in self.study.trials if not trial.state.is_finished()]
        return optuna.Trial(self.study, cut[0]._trial_id) if cut else self._ask()

    @contextlib.contextmanager
    def held(self, trial: optuna.Trial, *, emit: Emit) -> Iterator[None]:
        """Nothing to do: the folder is held."""
        yield

    def check_photos(self, trial: optuna.Trial, run: Run) -> None:
        """Nothing to do: all runs are in one folder."""
