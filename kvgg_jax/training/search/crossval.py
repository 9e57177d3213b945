"""`crossval`: each photo is validated once, by a network that never saw it.

runs/<name>/ crossval.json crossval.csv fold-1/ fold-2/ ..., each fold an ordinary run folder.
"""

from __future__ import annotations

import csv
import io
import json
import statistics
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from kvgg_jax.core.config import RunConfig
from kvgg_jax.core.errors import RunError, UsageError
from kvgg_jax.core.events import Emit, Note, ignore
from kvgg_jax.runs import catalog
from kvgg_jax.runs.folder import Run, write_file
from kvgg_jax.runs.lock import locked
from kvgg_jax.runs.manifest import UNSEEN, changed_settings, refuse
from kvgg_jax.training.inputs import complete_config
from kvgg_jax.training.loop import never
from kvgg_jax.training.search.group import finish
from kvgg_jax.training.trainer import nothing

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


@dataclass(frozen=True, slots=True)
class Crossval:
    """Where the folds are and what they measured."""

    path: Path
    folds: tuple[Fold, ...]

    def mean(self, name: str) -> float:
        """Of `val_accuracy` or `val_loss` over the folds."""
        return statistics.mean(getattr(fold, name) for fold in self.folds)

    def sd(self, name: str) -> float:
        """Sample standard deviation between folds, over n - 1; 0 for a single fold."""
        values = [getattr(fold, name) for fold in self.folds]
        return statistics.stdev(values) if len(values) > 1 else 0.0

    def to_json(self) -> dict[str, Any]:
        """`{"crossval", "folds": [...], "mean": {...}, "sd": {...}}`."""
        names = ("val_accuracy", "val_loss")
        return {
            "crossval": str(self.path),
            "folds": [asdict(fold) for fold in self.folds],
            "mean": {name: self.mean(name) for name in names},
            "sd": {name: self.sd(name) for name in names},
        }

    def to_csv(self) -> str:
        """The text of `crossval.csv`: a row a fold."""
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(field.name for field in fields(Fold))
        writer.writerows(asdict(fold).values() for fold in self.folds)
        return out.getvalue()


def crossval(
    config: RunConfig | None = None,
    *,
    folds: int = FOLDS,
    out: str | Path = catalog.OUT,
    name: str | None = None,
    stop: Callable[[], bool] = never,
    before_run: Callable[[], None] = nothing,
    emit: Emit = ignore,
) -> Crossval:
    """Train once for each fold held out, in `out/name`; a second call goes on where one stopped.

    The folds keep class shares, and duplicates together unless `data.split` is "stratified". They
    are dealt from `data.split_seed` or `seed`, so the runs differ in the split alone. `stop` is
    as for `train`; `before_run` is called before each run is prepared, and may raise to end it all.
    Raises what `train` raises, UsageError for fewer than two `folds`, and RunError where the folder
    holds a cross-validation of other settings.
    """
    if folds < 2:
        raise UsageError(f"--folds {folds}: at least 2.")
    config = _settings_of_all(complete_config(config or RunConfig(), emit, out=out), folds)
    catalog.check_name(name)
    path = Path(out) / (name or f"crossval-{catalog.network_name(config)}")  # no date, to go on by
    catalog.check_writable(path)
    with locked(path):
        _check_begun(path, config)
        done: list[Fold] = []
        for fold in range(1, folds + 1):
            run = Run(path / f"fold-{fold}")
            emit(Note(f"Fold {fold} of {folds}{' is done already' if run.is_finished else ''}"))
            one = config.with_data(fold=fold)
            finish(run, one, check=_check_photos, stop=stop, before_run=before_run, emit=emit)
            done.append(_measured(run, fold))
            result = Crossval(path, tuple(done))
            _write(result, status="finished" if fold == folds else "unfinished")
    return result


def _settings_of_all(config: RunConfig, folds: int) -> RunConfig:
    """What the folds have in common; `fold` is 1 until each sets its own."""
    how = "stratified" if config.data.split == "stratified" else "grouped"
    return config.with_data(split=how, folds=folds, fold=1)


def _check_begun(path: Path, config: RunConfig) -> None:
    """Raises RunError where the folder holds something else, or folds of other settings."""
    if any(path.glob("[!.]*")) and not (path / "fold-1").is_dir():
        raise RunError(f"{path} already exists and is no cross-validation. Choose another --name.")
    for fold in range(1, (config.data.folds or 0) + 1):
        run = Run(path / f"fold-{fold}")
        if run.exists:
            refuse(
                f"{path} was begun with other settings:",
                changed_settings(run, config.with_data(fold=fold), UNSEEN),
                "Use the same, or begin another: --name NAME.",
            )


def _measured(run: Run, fold: int) -> Fold:
    history, split = run.history(), run.split(Path())
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
    )


def _check_photos(run: Run) -> None:
    """Folds of different photos may overlap, so their mean would mean nothing.

    Unreadable ones are dealt too, so they count.
    """
    first = Run(run.path.with_name("fold-1"))
    dealt = [one.read_digests().keys() for one in (first, run)]
    if run.photos() != first.photos() or dealt[0] != dealt[1]:
        raise RunError(
            f"The photos changed between {first.path} and {run.path}. Put them back and remove "
            f"{run.path} and any later fold, or begin another: --name NAME."
        )


def _write(result: Crossval, *, status: str) -> None:
    text = json.dumps({"status": status, **result.to_json()}, indent=2) + "\n"
    write_file(result.path / "crossval.json", text)
    write_file(result.path / "crossval.csv", result.to_csv())
