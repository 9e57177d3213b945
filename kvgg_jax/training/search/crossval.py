"""`crossval`: each photo is validated once, by a network that was not trained on it.

runs/<name>/ crossval.json crossval.csv fold-1/ fold-2/ ..., each fold an ordinary run folder.
"""

from __future__ import annotations

import csv
import io
import json
import statistics
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from kvgg_jax.core.config import RunConfig
from kvgg_jax.core.errors import RunError, UsageError
from kvgg_jax.core.events import Emit, Note, ignore
from kvgg_jax.core.history import Monitor
from kvgg_jax.runs import catalog
from kvgg_jax.runs.folder import Run, write_file
from kvgg_jax.runs.folds import FILE
from kvgg_jax.runs.manifest import UNSEEN, changed_settings, refuse
from kvgg_jax.training.inputs import complete_config
from kvgg_jax.training.loop import never
from kvgg_jax.training.search.group import finish, group_folder

FOLDS = 5


@dataclass(frozen=True, slots=True)
class Fold:
    """The best epoch of one fold's run, on the photos held out."""

    fold: int
    run: str
    train: int
    val: int
    epoch: int
    val_accuracy: float
    val_loss: float
    seconds: float
    val_balanced_accuracy: float | None = None
    val_macro_f1: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Its fields, without a figure that is not monitored."""
        return {name: value for name, value in asdict(self).items() if value is not None}


@dataclass(frozen=True, slots=True)
class Crossval:
    """Where the folds are and what they measured."""

    path: Path
    folds: tuple[Fold, ...]
    monitor: Monitor = "accuracy"
    """What decided which epoch of each fold is the best."""

    @property
    def figures(self) -> dict[str, Monitor]:
        """Field of a fold -> the figure that it is of the validation photos."""
        return {f"val_{name}": name for name in dict.fromkeys(("accuracy", "loss", self.monitor))}

    def mean(self, name: str) -> float:
        """Of `val_accuracy`, `val_loss` or what is monitored, over the folds."""
        return statistics.mean(getattr(fold, name) for fold in self.folds)

    def sd(self, name: str) -> float:
        """Sample standard deviation between folds, over n - 1; 0 for a single fold."""
        values = [getattr(fold, name) for fold in self.folds]
        return statistics.stdev(values) if len(values) > 1 else 0.0

    def to_json(self) -> dict[str, Any]:
        """`{"crossval", "monitor", "folds": [...], "mean": {...}, "sd": {...}}`."""
        return {
            "crossval": str(self.path),
            "monitor": self.monitor,
            "folds": [fold.to_json() for fold in self.folds],
            "mean": {name: self.mean(name) for name in self.figures},
            "sd": {name: self.sd(name) for name in self.figures},
        }


def crossval(
    config: RunConfig | None = None,
    *,
    folds: int = FOLDS,
    fold: int | None = None,
    out: str | Path = catalog.OUT,
    name: str | None = None,
    stop: Callable[[], bool] = never,
    before_run: Callable[[], None] | None = None,
    emit: Emit = ignore,
) -> Crossval:
    """Train once for each fold held out, in `out/name`; a second call resumes a first.

    The folds keep class shares, and duplicates together unless `data.split` is "stratified". They
    depend on `data.split_seed` or `seed`, so the runs differ in the split alone. With `fold` only
    that one is trained and given back, so that several machines can share the folds of a folder
    that all see; a call without it then collects them.

    `stop` is as for `train`; `before_run` is called before each run is prepared, and may raise to
    end it all. Raises what `train` raises, UsageError for fewer than two `folds` or a `fold` that
    is none of them, and RunError where the folder holds a cross-validation of other settings.
    """
    if folds < 2:
        raise UsageError(f"--folds {folds}: at least 2.")
    if fold is not None and not 1 <= fold <= folds:
        raise UsageError(f"--fold {fold}: from 1 to {folds}, the number of --folds.")
    config = complete_config(config or RunConfig(), emit, out=out)
    how = "stratified" if config.data.split == "stratified" else "grouped"
    catalog.check_name(name)
    path = Path(out) / (name or f"crossval-{catalog.network_name(config)}")  # no date, to resume by
    members = [config.with_data(split=how, folds=folds, fold=n + 1) for n in range(folds)]
    done: list[Fold] = []
    monitor = config.train.monitor
    with group_folder(path, mark="fold-*", what="cross-validation", shared=fold is not None):
        _check_settings(path, members)
        for number in range(1, folds + 1) if fold is None else (fold,):
            run = _run(path, number)
            emit(Note(f"Fold {number} of {folds}{' is done already' if run.is_finished else ''}"))
            finish(run, members[number - 1], stop=stop, before_run=before_run, emit=emit)
            done.append(_measured(run, number))
            if fold is None:
                status = "finished" if number == folds else "unfinished"
                _write(Crossval(path, tuple(done), monitor), status=status)
    return Crossval(path, tuple(done), monitor)


def _run(path: Path, fold: int) -> Run:
    return Run(path / f"fold-{fold}")


def _check_settings(path: Path, members: list[RunConfig]) -> None:
    """Raises RunError where the folder has folds of other settings."""
    for fold, member in enumerate(members, 1):
        run = _run(path, fold)
        if run.exists:
            refuse(
                f"{path} was started with other settings:",
                changed_settings(run, member, UNSEEN),
                "Use the same settings, or choose another --name.",
            )


def _measured(run: Run, fold: int) -> Fold:
    history, split = run.history(), run.split()
    best = history.best
    if best is None:
        raise RunError(f"{run.path} has no epoch in its history.csv. Remove it and call again.")
    return Fold(
        fold=fold,
        run=str(run.path),
        train=len(split.train),
        val=len(split.val),
        epoch=best.epoch,
        val_accuracy=best.val_accuracy,
        val_loss=best.val_loss,
        seconds=round(history.seconds, 3),
        **best.extra,
    )


def _write(result: Crossval, *, status: str) -> None:
    """`crossval.json`, and `crossval.csv` with one row per fold."""
    text = json.dumps({"status": status, **result.to_json()}, indent=2) + "\n"
    write_file(result.path / FILE, text)
    table, rows = io.StringIO(), [fold.to_json() for fold in result.folds]
    writer = csv.DictWriter(table, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_file(result.path / "crossval.csv", table.getvalue())
