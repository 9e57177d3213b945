"""What a run measured, epoch by epoch, and the decisions that follow from it."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator
from dataclasses import MISSING, dataclass, fields, replace
from itertools import pairwise
from typing import Any, Literal, get_args

Monitor = Literal["accuracy", "loss", "balanced_accuracy", "macro_f1"]
"""What decides which epoch is best: a figure of the validation photos."""
MONITORS: tuple[Monitor, ...] = get_args(Monitor)


@dataclass(frozen=True, slots=True)
class Metrics:
    """Mean cross-entropy in nats, accuracy in [0, 1], and the number of images."""

    loss: float
    accuracy: float
    count: int


def ratios(loss: float, correct: float, count: float) -> Metrics:
    """Means, from sums over images."""
    return Metrics(loss / count, correct / count, round(count))


@dataclass(frozen=True, slots=True)
class EpochProgress:
    """The training half of an unfinished epoch. `loss`, `correct` and `count` are sums over images,
    kept exactly; `seconds` covers all starts."""

    steps: int
    loss: float
    correct: float
    count: float
    seconds: float

    @property
    def sums(self) -> tuple[float, float, float]:
        """Loss, correct answers and images so far."""
        return self.loss, self.correct, self.count

    @property
    def metrics(self) -> Metrics:
        """The means so far."""
        return ratios(*self.sums)


NOTHING_YET = EpochProgress(steps=0, loss=0.0, correct=0.0, count=0.0, seconds=0.0)


@dataclass(frozen=True, slots=True)
class Epoch:
    """One row of `history.csv`; `learning_rate` is that of the epoch's last step.

    A new column is a field with the default None: rows without it stay readable, and a column
    without any value is not written.
    """

    epoch: int
    loss: float
    accuracy: float
    val_loss: float
    val_accuracy: float
    learning_rate: float | None = None
    seconds: float | None = None
    images_per_second: float | None = None
    val_balanced_accuracy: float | None = None
    val_macro_f1: float | None = None
    unknown: tuple[tuple[str, str], ...] = ()
    """(column, text) pairs of other versions, kept unchanged."""

    def monitored(self, monitor: Monitor) -> float:
        """What is monitored of it; NaN where nobody measured that."""
        value: float | None = getattr(self, f"val_{monitor}")
        return math.nan if value is None else value

    @property
    def extra(self) -> dict[str, float]:
        """The columns that only a run has which monitors them."""
        every = {name: getattr(self, name) for name in EXTRA}
        return {name: value for name, value in every.items() if value is not None}

    def describe(self, *monitors: Monitor) -> str:
        """`"macro F1 0.8812, loss 0.3000"`: these figures of it, each once."""
        values = {title(one): self.monitored(one) for one in monitors}
        return ", ".join(f"{name} {value:.4f}" for name, value in values.items())


def title(monitor: Monitor) -> str:
    """As sentences have it: `"macro F1"`."""
    return monitor.replace("_", " ").replace("f1", "F1")


def gain(monitor: Monitor, value: float) -> float:
    """`value`, or what makes a low one the larger."""
    return -value if monitor == "loss" else value


def rank(monitor: Monitor, value: float, loss: float, number: int) -> tuple[float, float, int]:
    """Larger is better: the `value` that is monitored, then a low validation loss, then early."""
    if math.isnan(value) or math.isnan(loss):  # below every number
        return -math.inf, -math.inf, -number
    return gain(monitor, value), -loss, -number


EXTRA = ("val_balanced_accuracy", "val_macro_f1")
COLUMNS = tuple(field.name for field in fields(Epoch) if field.name != "unknown")
MEASURED = ("seconds", "images_per_second")  # a loss may be infinite, where training diverged
REQUIRED = tuple(field.name for field in fields(Epoch) if field.default is MISSING)


@dataclass(frozen=True, slots=True)
class History:
    """The epochs so far, in order."""

    epochs: tuple[Epoch, ...] = ()
    monitor: Monitor = "accuracy"
    """What decides which epoch is best, and when training stops."""

    def __iter__(self) -> Iterator[Epoch]:
        return iter(self.epochs)

    def __len__(self) -> int:
        return len(self.epochs)

    def append(self, epoch: Epoch) -> History:
        """A new history with one more row."""
        return replace(self, epochs=(*self.epochs, epoch))

    def upto(self, epoch: int) -> History:
        """The history up to the end of `epoch`."""
        return replace(self, epochs=tuple(row for row in self.epochs if row.epoch <= epoch))

    @property
    def best(self) -> Epoch | None:
        """The epoch of highest rank; None before the first."""

        def key(row: Epoch) -> tuple[float, float, int]:
            return rank(self.monitor, row.monitored(self.monitor), row.val_loss, row.epoch)

        return max(self.epochs, key=key, default=None)

    @property
    def seconds(self) -> float:
        """Wall time of all epochs, seconds."""
        return sum(row.seconds or 0.0 for row in self.epochs)

    @property
    def images_per_second(self) -> float | None:
        """Training images per second over all epochs, without validation; None if unknown."""
        speeds = [row.images_per_second for row in self.epochs if row.images_per_second]
        return len(speeds) / sum(1 / speed for speed in speeds) if speeds else None

    def stale(self, min_delta: float) -> int:
        """Epochs since what is monitored last gained more than `min_delta` (as Keras counts)."""
        reference, count = -math.inf, 0
        for row in self.epochs:
            value = gain(self.monitor, row.monitored(self.monitor))
            if value - min_delta > reference:
                reference, count = value, 0
            else:
                count += 1
        return count

    def to_csv(self) -> str:
        """The text of `history.csv`; floats keep every bit."""
        rows = [
            {name: value for name in COLUMNS if (value := getattr(row, name)) is not None}
            | dict(row.unknown)
            for row in self.epochs
        ]
        usual = () if rows else (name for name in COLUMNS if name not in EXTRA)
        written = {f"val_{self.monitor}", *usual, *(name for row in rows for name in row)}
        known = [name for name in COLUMNS if name in written]
        unknown = dict.fromkeys(name for row in self.epochs for name, _ in row.unknown)
        out = io.StringIO()
        writer = csv.DictWriter(out, [*known, *unknown], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        return out.getvalue()

    @classmethod
    def from_csv(cls, text: str, monitor: Monitor = "accuracy") -> History:
        """The inverse of `to_csv`; the columns may be those of another version.

        Raises ValueError when the text is not such a table, or lacks what is monitored.
        """
        header, *rows = [*csv.reader(io.StringIO(text))] or [[]]
        required = dict.fromkeys((*REQUIRED, f"val_{monitor}"))
        if not required.keys() <= set(header) or len(set(header)) < len(header):
            raise ValueError(f"expected the columns {','.join(required)}, each once")
        epochs = tuple(_epoch(number, header, row) for number, row in enumerate(rows, 1))
        for before, row in pairwise(epochs):
            if row.epoch <= before.epoch:
                raise ValueError(f"epoch {row.epoch} comes after epoch {before.epoch}")
        return cls(epochs, monitor)


def _epoch(number: int, header: list[str], row: list[str]) -> Epoch:
    """Row `number` (from 1) of a table. Raises ValueError."""
    if len(row) != len(header):
        raise ValueError(f"row {number} has {len(row)} of {len(header)} values")
    cells = {name: text for name, text in zip(header, row, strict=True) if text}
    figures: dict[str, Any] = {}
    for name in COLUMNS:
        if name in cells or name in REQUIRED:
            text = cells.pop(name, "")
            kind, what = (int, "whole number") if name == "epoch" else (float, "number")
            try:
                figures[name] = kind(text)
            except ValueError:
                raise ValueError(f"row {number}: {name} is {text!r}, not a {what}") from None
            if name in MEASURED and not 0 <= figures[name] < math.inf:
                raise ValueError(f"row {number}: {name} is {text!r}, which cannot be measured")
    return Epoch(**figures, unknown=tuple(cells.items()))
