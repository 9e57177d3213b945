"""Which photos are for training, validation and testing, and the CSV file that stores it."""

from __future__ import annotations

import csv
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import repeat

import numpy as np
from numpy.typing import NDArray

from kvgg_jax.core.errors import DataError
from kvgg_jax.core.files import csv_texts
from kvgg_jax.core.text import escape_name
from kvgg_jax.data.columns import Categories, Numbers, Texts
from kvgg_jax.data.samples import PARTS, Part, Samples, join
from kvgg_jax.data.source import Source

_COLUMNS = ["path", "class", "part"]
_OPTIONAL = ("group", "weight")  # where samples have them


@dataclass(frozen=True, slots=True)
class Split:
    """Samples in parts."""

    train: Samples
    val: Samples
    test: Samples | None = None
    """Photos that neither training nor the choice of the best epoch uses."""
    given: bool = False
    """Whether somebody else has split them, and no setting."""

    @property
    def all(self) -> Samples:
        """Training and validation, in this order."""
        return join(self.train, self.val)

    def parts(self) -> Iterator[tuple[Part, Samples]]:
        """Name and samples of each part that there is."""
        for name in PARTS:
            if (part := getattr(self, name)) is not None:
                yield name, part


def split_samples(
    samples: Samples,
    *,
    val_split: float,
    seed: int,
    how: str = "keras",
    test_split: float | None = None,
) -> Split:
    """Split `samples`; `how` is "keras" or "stratified".

    "keras" splits exactly as `image_dataset_from_directory(validation_split=val_split, seed=seed,
    shuffle=True)` does: shuffle all, the last int(val_split * N) are for validation. "stratified"
    does the same within each class, so that class shares are kept. The first int(test_split * N)
    are for testing, so the validation part is the same with and without them.
    """
    labels = np.zeros(len(samples), np.int8) if how == "keras" else np.array(samples.labels)
    parts: list[list[NDArray[np.int64]]] = []
    for rows in rows_by_label(labels):
        np.random.RandomState(seed).shuffle(rows)
        cuts = int((test_split or 0) * len(rows)), len(rows) - int(val_split * len(rows))
        parts.append(np.split(rows, cuts))
    test, train, val = map(np.concatenate, zip(*parts, strict=True))
    return make_split(samples, train, val, test, val_split=val_split, test_split=test_split)


def rows_by_label(labels: NDArray[np.generic]) -> list[NDArray[np.int64]]:
    """Of each label that occurs, in order, where it does, in order."""
    order = np.argsort(labels, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(labels[order])) + 1)


def make_split(
    samples: Samples,
    train: NDArray[np.int64],
    val: NDArray[np.int64],
    test: NDArray[np.int64],
    *,
    val_split: float,
    test_split: float | None,
) -> Split:
    """The parts at these rows; that for testing only with `test_split`. Raises DataError when one
    is empty."""
    if not len(train) or not len(val):
        raise DataError(
            f"{escape_name(samples.root)}: {len(samples)} images with "
            f"`data.val_split = {val_split}` leave {len(train)} for training and {len(val)} for "
            "validation; each needs at least 1. Add photos or change the share."
        )
    if test_split and not len(test):
        raise DataError(
            f"{escape_name(samples.root)}: {len(samples)} images with "
            f"`data.test_split = {test_split}` leave 0 for testing; it needs at least 1. Add "
            "photos or change the share."
        )
    third = samples.take(test) if test_split else None
    return Split(samples.take(train), samples.take(val), third)


def split_to_csv(split: Split) -> Iterator[str]:
    """The text of `split.csv`, some rows at a time: path, class, part; group and weight where they
    are known."""
    bare = any("\r" in path for _, samples in split.parts() for path in samples.paths)
    given = [name for name in _OPTIONAL if getattr(split.train, f"{name}s") is not None]

    def rows() -> Iterator[Sequence[object]]:
        yield _COLUMNS + given
        for part, samples in split.parts():
            names = (samples.classes[label] for label in samples.labels)
            columns = [getattr(samples, f"{name}s") for name in given]
            yield from zip(samples.paths, names, repeat(part, len(samples)), *columns, strict=True)

    # Python leaves a \r unquoted before 3.13
    return csv_texts(rows(), csv.QUOTE_ALL if bare else csv.QUOTE_MINIMAL)


def check_below(path: str) -> str:
    """`path`, as a file of a run gives it. Raises ValueError where it leaves the photos' folder."""
    if path.startswith("/") or ".." in path.split("/"):
        raise ValueError(f"{path!r} is not below the folder of photos")
    return path


def split_from_csv(
    lines: Iterable[str], *, source: Source, classes: tuple[str, ...], given: bool = False
) -> Split:
    """The split of the lines of `split.csv`. Raises ValueError when they are not such a table."""
    reader = csv.reader(lines)
    header = next(reader, [])
    optional = tuple(header[3:])
    if header[:3] != _COLUMNS or not set(optional) <= set(_OPTIONAL):
        raise ValueError("expected the columns path,class,part")
    labels = {name: label for label, name in enumerate(classes)}
    places, parts = array("i"), array("i")
    extra: dict[str, list[str]] = {name: [] for name in optional}

    def read_paths() -> Iterator[str]:
        for row in reader:
            if len(row) != len(header) or row[1] not in labels or row[2] not in PARTS:
                raise ValueError(f"{row} is not a path, one of the run's classes, and a part")
            places.append(labels[row[1]])
            parts.append(PARTS.index(row[2]))
            for column, value in zip(extra.values(), row[3:], strict=True):
                column.append(value)
            yield check_below(row[0])

    paths = Texts.of(read_paths())
    every = Samples(
        source,
        paths,
        Numbers(np.asarray(places)),
        classes,
        parts=Categories(PARTS, np.asarray(parts)),  # type: ignore[arg-type]
        groups=extra.get("group"),
        weights=[float(weight) for weight in extra["weight"]] if "weight" in extra else None,
    )
    train, val, test = map(every.part, PARTS)
    return Split(train, val, test if len(test) else None, given)
