"""`list_runs`: what runs there are and how far they came, without loading a network."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kvgg_jax.core.config import RunConfig
from kvgg_jax.core.errors import KvggError
from kvgg_jax.core.history import History
from kvgg_jax.models.cost import Cost, describe, total
from kvgg_jax.runs import catalog
from kvgg_jax.runs.folder import Run


@dataclass(frozen=True, slots=True)
class RunSummary:
    """One run as its small files describe it."""

    path: Path
    config: RunConfig
    classes: tuple[str, ...]
    history: History
    info: dict[str, Any]
    """`run.json`."""

    @property
    def epochs(self) -> int:
        """How many it was asked for, or has planned for the time it was given."""
        return int(self.info.get("plan", {}).get("epochs", self.config.train.epochs))

    @property
    def status(self) -> str:
        """ "finished" or "unfinished"."""
        return str(self.info.get("status"))

    @property
    def cost(self) -> Cost:
        """What its network takes for one photo."""
        size = self.config.image_size
        layers = describe(self.config.model, classes=len(self.classes), image_size=size)
        return total(layers, image_size=size, batch_size=1)

    @property
    def params(self) -> int:
        """Parameters of its network, frozen ones and batch norm's statistics included."""
        return self.cost.params

    @property
    def device(self) -> str:
        """What it was trained on, as far as it says so."""
        device = self.info.get("device")
        device = device if isinstance(device, dict) else {}
        return f"{device.get('kind')}, {device.get('cpus')} cores"

    def to_json(self) -> dict[str, Any]:
        """`{"run", "status", ...}`; docs/json.md describes it."""
        best = self.history.best
        return {
            "run": str(self.path),
            "status": self.status,
            "number": self.info.get("number"),
            "created": self.info.get("created"),
            "epochs": len(self.history),
            "epochs_asked": self.epochs,
            "monitor": self.history.monitor,
            "best_epoch": best and best.epoch,
            "val_accuracy": best and best.val_accuracy,
            "val_loss": best and best.val_loss,
            **(best.extra if best else {}),
            "params": self.params,
            "seconds": round(self.history.seconds, 3),
            "arch": self.config.model.arch,
            "head": self.config.model.head,
            "image_size": self.config.image_size,
            "device": self.device,
        }


@dataclass(frozen=True, slots=True)
class DamagedRun:
    """A run folder that cannot be read, and why."""

    path: Path
    fault: str

    def to_json(self) -> dict[str, Any]:
        """`{"run", "status": "damaged", "error"}`."""
        return {"run": str(self.path), "status": "damaged", "error": self.fault}


def list_runs(out: str | Path = catalog.OUT) -> list[RunSummary | DamagedRun]:
    """All runs in a folder, by their number, which is the order they were started in."""
    return [_look(run) for run in catalog.ordered(Path(out))]


def summarise(names: Iterable[str | Path], *, out: str | Path = catalog.OUT) -> list[RunSummary]:
    """The runs of these folders or names. Raises RunError for one that is not there or damaged."""
    return [_read(catalog.find(name, out=Path(out))) for name in names]


def _look(run: Run) -> RunSummary | DamagedRun:
    try:
        return _read(run)
    except KvggError as error:
        return DamagedRun(run.path, str(error))


def _read(run: Run) -> RunSummary:
    return RunSummary(run.path, run.config(), run.classes(), run.history(), run.info())
