"""What a run measured, epoch by epoch, and the decisions that follow from it."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields


@dataclass(frozen=True, slots=True)
class Metrics:
    """Mean cross-entropy in nats, share of right answers in [0, 1], and over how many pictures."""

    loss: float
    accuracy: float
    count: int


def ratios(loss: float, correct: float, count: float) -> Metrics:
    """Means, from sums over pictures."""
    return Metrics(loss / count, correct / count, round(count))


@dataclass(frozen=True, slots=True)
class EpochProgress:
    """The training half of an epoch, as far as it has come: what its row will be made of."""

    steps: int
    """Steps of this epoch done."""
    loss: float
    """Sum over pictures, as `correct` and `count` are: each a float32, kept exactly."""
    correct: float
    count: float
    seconds: float
    """Spent on these steps, over all the starts they took."""

    @property
    def sums(self) -> tuple[float, float, float]:
        """Loss, right answers and pictures so far."""
        return self.loss, self.correct, self.count

    @property
    def metrics(self) -> Metrics:
        """The means so far."""
        return ratios(*self.sums)


NOTHING_YET = EpochProgress(steps=0, loss=0.0, correct=0.0, count=0.0, seconds=0.0)


@dataclass(frozen=True, slots=True)
class Epoch:
    """One row of `history.csv`. `learning_rate` is that of the epoch's last step."""

    epoch: int
    loss: float
    accuracy: float
    val_loss: float
    val_accuracy: float
    learning_rate: float
    seconds: float
    images_per_second: float

    @property
    def rank(self) -> tuple[float, float, int]:
        """Larger is better: validation accuracy, then low validation loss, then early."""
        if math.isnan(self.val_accuracy) or math.isnan(self.val_loss):  # never above a number
            return -math.inf, -math.inf, -self.epoch
        return self.val_accuracy, -self.val_loss, -self.epoch


COLUMNS = tuple(field.name for field in fields(Epoch))


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
        """The history as it was when `epoch` had ended."""
        return History(tuple(row for row in self.epochs if row.epoch <= epoch))

    @property
    def best(self) -> Epoch | None:
        """Highest validation accuracy, then lowest validation loss, then earliest."""
        return max(self.epochs, key=lambda row: row.rank, default=None)

    @property
    def seconds(self) -> float:
        """Wall time of all epochs, seconds."""
        return sum(row.seconds for row in self.epochs)

    @property
    def images_per_second(self) -> float | None:
        """Training pictures a second over all epochs, without validation; None before the first."""
        speeds = [row.images_per_second for row in self.epochs]
        return len(speeds) / sum(1 / speed for speed in speeds) if speeds and all(speeds) else None

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
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(asdict(row).values() for row in self.epochs)
        return out.getvalue()

    @classmethod
    def from_csv(cls, text: str) -> History:
        """The inverse of `to_csv`. Raises ValueError when the text is not such a table."""
        rows = list(csv.reader(io.StringIO(text)))
        if not rows or tuple(rows[0]) != COLUMNS or any(len(r) != len(COLUMNS) for r in rows):
            raise ValueError(f"expected the columns {','.join(COLUMNS)}")
        return cls(tuple(Epoch(int(row[0]), *map(float, row[1:])) for row in rows[1:]))
