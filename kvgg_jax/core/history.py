"""What a run measured, epoch by epoch, and the decisions that follow from it."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator
from dataclasses import MISSING, dataclass, fields
from itertools import pairwise
from typing import Any


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
    unknown: tuple[tuple[str, str], ...] = ()
    """(column, text) pairs of other versions, kept unchanged."""

    @property
    def rank(self) -> tuple[float, float, int]:
        """Larger is better: validation accuracy, then low validation loss, then early."""
        if math.isnan(self.val_accuracy) or math.isnan(self.val_loss):  # below every number
            return -math.inf, -math.inf, -self.epoch
        return self.val_accuracy, -self.val_loss, -self.epoch


COLUMNS = tuple(field.name for field in fields(Epoch) if field.name != "unknown")
MEASURED = ("seconds", "images_per_second")  # a loss may be infinite, where training diverged
REQUIRED = tuple(field.name for field in fields(Epoch) if field.default is MISSING)


@dataclass(frozen=True, slots=True)
class History:
    """The epochs so far, in order."""

    epochs: tuple[Epoch, ...] = ()

    def __iter__(self) -> Iterator[Epoch]:
        return iter(self.epochs)

    def __len__(self) -> int:
        return len(self.epochs)

    def append(self, epoch: Epoch) -> History:
        """A new history with one more row."""
        return History((*self.epochs, epoch))

    def upto(self, epoch: int) -> History:
        """The history up to the end of `epoch`."""
        return History(tuple(row for row in self.epochs if row.epoch <= epoch))

    @property
    def best(self) -> Epoch | None:
        """The epoch of highest rank; None before the first."""
        return max(self.epochs, key=lambda row: row.rank, default=None)

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
        """Epochs since validation accuracy last rose by more than `min_delta` (as Keras counts)."""
        reference, count = -math.inf, 0
        for row in self.epochs:
            if row.val_accuracy - min_delta > reference:
                reference, count = row.val_accuracy, 0
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
        known = [name for name in COLUMNS if not rows or any(name in row for row in rows)]
        unknown = dict.fromkeys(name for row in self.epochs for name, _ in row.unknown)
        out = io.StringIO()
        writer = csv.DictWriter(out, [*known, *unknown], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        return out.getvalue()

    @classmethod
    def from_csv(cls, text: str) -> History:
        """The inverse of `to_csv`; the columns may be those of another version.

        Raises ValueError when the text is not such a table.
        """
        header, *rows = [*csv.reader(io.StringIO(text))] or [[]]
        if not set(REQUIRED) <= set(header) or len(set(header)) < len(header):
            raise ValueError(f"expected the columns {','.join(REQUIRED)}, each once")
        epochs = tuple(_epoch(number, header, row) for number, row in enumerate(rows, 1))
        for before, row in pairwise(epochs):
            if row.epoch <= before.epoch:
                raise ValueError(f"epoch {row.epoch} comes after epoch {before.epoch}")
        return cls(epochs)


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
