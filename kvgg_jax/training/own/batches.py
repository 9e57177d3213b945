"""The batches that a caller of `fit` gives, checked and made whole: each has the first one's shape.

No fault of theirs may reach the step, which takes one shape alone, or count silently: a label that
is no class gives a loss all the same.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Iterable, Iterator, Sized
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from kvgg_jax.core.errors import DataError
from kvgg_jax.core.events import Emit, Warned, ignore
from kvgg_jax.core.state import Batch

Source = Iterable[Any] | Callable[[int], Iterable[Any]]
"""`(inputs, labels)` batches that can be read again, or a function of the epoch, from 1."""
PROBABILITY = 1e-3  # how far the shares of a label may be from a sum of 1


class Pair(NamedTuple):
    """Inputs, uint8 or float32 [count, ...], and labels: int32 [count], or float32 shares [count,
    classes]."""

    inputs: NDArray[Any]
    labels: NDArray[Any]

    def kinds(self) -> dict[str, str]:
        """`{"inputs": "uint8 [32, 8, 8, 3]", "labels": "int32 [32]"}`."""
        return {name: kind(part) for name, part in self._asdict().items()}

    def digest(self) -> str:
        """SHA-256 of its bytes."""
        return hashlib.sha256(b"".join(part.tobytes() for part in self)).hexdigest()


def kind(array: NDArray[Any]) -> str:
    """`"uint8 [32, 8, 8, 3]"`."""
    return f"{array.dtype} {list(array.shape)}"


def read_first(name: str, source: Source) -> Pair:
    """The first batch of the first epoch. Raises DataError, which calls the source `name`."""
    if isinstance(source, Iterator):
        raise DataError(
            f"`{name}` can be read once only. Give a list or a dataset, which can be read again, "
            f"or a function that makes it anew: {name}=lambda epoch: ..."
        )
    for given in _read(name, source, epoch=1, start=0):
        return _pair(given, f"`{name}`, batch 1")
    raise DataError(f"`{name}` has no batch.")


class CheckedBatches:
    """A source as batches of the size of its `first` one; a smaller last one is padded.

    `steps` is how many an epoch has, where that is known; else a source without a length is read
    through to count them. Raises DataError here for a `first` that does not suit so many classes,
    and in `epoch` for whatever is wrong later.
    """

    def __init__(
        self,
        name: str,
        source: Source,
        first: Pair,
        *,
        classes: int,
        steps: int | None = None,
        emit: Emit = ignore,
    ) -> None:
        self._name, self._source, self._classes, self._emit = name, source, classes, emit
        self.first = first
        self.example = self._whole(first, f"`{name}`, batch 1", is_last=True)
        self._steps = _length(name, source) or steps or _count(name, source)

    @property
    def steps(self) -> int:
        """Batches an epoch."""
        return self._steps

    def describe(self) -> dict[str, Any]:
        """`{"train.steps": 4, "train.inputs": "uint8 [32, 8, 8, 3]", ...}`."""
        facts = {"steps": self._steps, **self.first.kinds()}
        return {f"{self._name}.{fact}": value for fact, value in facts.items()}

    def epoch(self, epoch: int, *, start: int = 0) -> Iterator[Batch]:
        """The batches of `epoch` from step `start` on; those of epoch 0 are those of epoch 1."""
        where = f"`{self._name}`, epoch {epoch}" if epoch else f"`{self._name}`"
        given = _read(self._name, self._source, epoch=epoch or 1, start=start)
        for number in range(start + 1, self._steps + 1):
            pair = next(given, None)
            if pair is None:
                raise DataError(f"{where}: {number - 1} batches, expected {self._steps}.")
            pair = _pair(pair, f"{where}, batch {number}")
            is_last = number == self._steps
            if is_last and next(given, None) is not None:
                raise DataError(f"{where}: more than the expected {self._steps} batches.")
            if epoch == number == 1:
                self._check_repeats(pair)
            yield self._whole(pair, f"{where}, batch {number}", is_last=is_last)

    def _check_repeats(self, pair: Pair) -> None:
        if pair.digest() != self.first.digest():
            self._emit(
                Warned(
                    f"`{self._name}` gives other batches each time it is read, so a resume cannot "
                    f"be exact. Give a function of the epoch that seeds all it draws: "
                    f"{self._name}=lambda epoch: ..."
                )
            )

    def _whole(self, pair: Pair, where: str, *, is_last: bool) -> Batch:
        """The batch, with fillers of weight 0 where it is smaller. Raises DataError."""
        count, size = len(pair.inputs), len(self.first.inputs)
        for found, first in zip(pair, self.first, strict=True):
            if found.shape[1:] != first.shape[1:] or found.dtype != first.dtype:
                raise DataError(
                    f"{where}: {kind(found)}, where the first batch has {kind(first)}. "
                    "All batches must have one shape and one type."
                )
        if count > size or (count < size and not is_last):
            raise DataError(
                f"{where}: {count} rows, where the first batch has {size}. "
                "Only the last batch of an epoch may be smaller."
            )
        self._check_labels(pair.labels, where)
        # Fillers are real inputs: batch norm sees them. A full batch is copied too: the source may
        # use its arrays again while the device still reads them.
        rows = np.resize(np.arange(count), size)
        weight = (np.arange(size) < count).astype(np.float32)
        return Batch(pair.inputs[rows], pair.labels[rows], weight)

    def _check_labels(self, labels: NDArray[Any], where: str) -> None:
        if labels.ndim == 1:
            if labels.min() < 0 or labels.max() >= self._classes:
                raise DataError(
                    f"{where}: labels from {labels.min()} to {labels.max()}; the model has "
                    f"{self._classes} outputs, so they must be from 0 to {self._classes - 1}."
                )
        elif labels.shape[1] != self._classes:
            raise DataError(
                f"{where}: labels {kind(labels)}; the model has {self._classes} outputs."
            )
        elif labels.min() < 0 or np.abs(labels.sum(axis=1) - 1).max() > PROBABILITY:
            raise DataError(f"{where}: the shares of a label must not be negative, and sum to 1.")


def _read(name: str, source: Source, *, epoch: int, start: int) -> Iterator[Any]:
    """What the source gives in `epoch`, from batch `start` on."""
    given: Any = source(epoch) if callable(source) else source
    if hasattr(given, "__getitem__") and hasattr(given, "__len__"):  # a list, a PyDataset
        return (given[number] for number in range(start, len(given)))
    if not isinstance(given, Iterable):
        raise DataError(f"`{name}` gives no batches: {type(given).__name__} cannot be iterated.")
    return itertools.islice(given, start, None)


def _length(name: str, source: Source) -> int | None:
    """Batches of an epoch; None where the source does not know. Raises DataError if endless."""
    given = source(1) if callable(source) else source
    if not isinstance(given, Sized):
        return None
    try:
        return len(given)
    except TypeError as error:  # a tf.data.Dataset of unknown length, or without end
        if "infinite" not in str(error):
            return None
        text = f"`{name}` is endless: leave out `repeat`, or `take` as much as an epoch has."
        raise DataError(text) from None


def _count(name: str, source: Source) -> int:
    return sum(1 for _ in _read(name, source, epoch=1, start=0))


def _pair(given: Any, where: str) -> Pair:
    """Arrays of a legal type and of one length. Raises DataError."""
    if not isinstance(given, tuple | list) or len(given) != 2:
        raise DataError(f"{where}: {_told(given)}, expected a pair (inputs, labels).")
    if not all(hasattr(part, "shape") or isinstance(part, list) for part in given):
        raise DataError(f"{where}: a pair of {_told(given)}, expected two arrays.")
    inputs, labels = (np.asarray(part) for part in given)
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if inputs.ndim == 0 or not len(inputs) or labels.shape[:1] != inputs.shape[:1]:
        raise DataError(
            f"{where}: inputs {kind(inputs)} and labels {kind(labels)}, expected as many labels "
            "as inputs, at least 1."
        )
    return Pair(_inputs(inputs, where), _labels(labels, where))


def _told(given: Any) -> str:
    if isinstance(given, tuple | list):
        return f"{type(given).__name__} ({', '.join(type(part).__name__ for part in given)})"
    return kind(np.asarray(given)) if hasattr(given, "shape") else type(given).__name__


def _inputs(inputs: NDArray[Any], where: str) -> NDArray[Any]:
    if inputs.dtype == np.uint8:
        return inputs
    if jnp.issubdtype(inputs.dtype, jnp.floating):
        return inputs.astype(np.float32, copy=False)
    raise DataError(
        f"{where}: inputs {kind(inputs)}, expected uint8, which is scaled to [0, 1], or floats."
    )


def _labels(labels: NDArray[Any], where: str) -> NDArray[Any]:
    if labels.ndim == 1 and np.issubdtype(labels.dtype, np.integer):
        ends = np.iinfo(np.int32)  # else 2**32 would become class 0
        return labels.astype(np.int64).clip(ends.min, ends.max).astype(np.int32)
    if labels.ndim == 2 and jnp.issubdtype(labels.dtype, jnp.floating):
        return labels.astype(np.float32, copy=False)
    raise DataError(
        f"{where}: labels {kind(labels)}, expected whole numbers [count], or shares of the classes "
        "as floats [count, classes]."
    )
