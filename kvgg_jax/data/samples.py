"""Labelled photos as a value: a table of keys and classes over a `Source`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from kvgg_jax.core.errors import DataError
from kvgg_jax.core.places import Place, file_place
from kvgg_jax.core.tables.data import Resize
from kvgg_jax.core.text import escape_name
from kvgg_jax.data.columns import Categories, Column, Numbers, Texts
from kvgg_jax.data.decode.image import Read, load_bytes, read_file
from kvgg_jax.data.source import Source

Part = Literal["train", "val", "test"]
PARTS: tuple[Part, ...] = get_args(Part)
_COLUMNS: dict[str, tuple[type[Column[Any]], Callable[[Any], Column[Any]]]] = {
    "paths": (Texts, Texts.of),
    "labels": (Numbers, lambda values: Numbers(np.array(values, np.int32))),
    "parts": (Categories, Categories.of),
    "groups": (Categories, Categories.of),
    "weights": (Numbers, lambda values: Numbers(np.array(values, np.float64))),
}
"""Column of samples -> what it is kept as, and how it is made of any sequence."""


@dataclass(frozen=True, slots=True)
class Samples:
    """Photos of `source` by their keys, `paths`; each has a label, an index into `classes`.

    The other columns are None where nobody has given them. All are kept as a `columns.Column`,
    whatever sequence is given.
    """

    source: Source
    paths: Sequence[str]
    labels: Sequence[int]
    classes: tuple[str, ...]
    parts: Sequence[Part] | None = None
    """The part of a split that each is in already."""
    groups: Sequence[str] | None = None
    """Photos of one group, such as a lot or a patient, belong on one side of a split."""
    weights: Sequence[float] | None = None
    """How often each counts in the training loss."""

    def __post_init__(self) -> None:
        for name, column in self._columns().items():
            kind, make = _COLUMNS[name]
            if not isinstance(column, kind):
                object.__setattr__(self, name, make(column))

    def __len__(self) -> int:
        return len(self.paths)

    @property
    def root(self) -> Place:
        """The place of the source."""
        return self.source.root

    def name(self, i: int) -> str:
        """What messages call photo `i`."""
        return self.source.name(self.paths[i])

    def files(self) -> list[Place]:
        """Where each is, by its name."""
        return [file_place(self.source.name(path)) for path in self.paths]

    def read(self, i: int) -> bytes:
        """The content of its file. Raises ImageError."""
        return self.source.read(self.paths[i])

    def load(self, i: int, size: int, resize: Resize) -> NDArray[np.uint8]:
        """Photo `i` as `image.load` gives it. Raises ImageError."""
        return load_bytes(self.read(i), size, resize, name=self.name(i))

    def take(self, indices: Iterable[int]) -> Samples:
        """The samples at `indices`, in that order."""
        rows = indices if isinstance(indices, np.ndarray) else np.fromiter(indices, np.int64)
        return replace(self, **{name: one.take(rows) for name, one in self._columns().items()})

    def without(self, part: Samples | None) -> Samples:
        """Those that are not in `part`, in their order."""
        if part is None:
            return self
        kept = np.ones(len(self), bool)
        kept[self.rows(part)] = False
        return self.take(np.flatnonzero(kept))

    def rows(self, part: Samples) -> NDArray[np.int64]:
        """Where the photos of `part` are, in its order; those that are not here are left out."""
        rows = self.find(part)
        return rows[rows >= 0]

    def find(self, other: Samples) -> NDArray[np.int64]:
        """Where each photo of `other` is, by its path; -1 for those that are not here."""
        rows: NDArray[np.int64] = self._columns()["paths"].find(other.paths)
        return rows

    def by_path(self) -> NDArray[np.int64]:
        """The rows in the order of their paths."""
        rows: NDArray[np.int64] = self._columns()["paths"].order()
        return rows

    def part(self, name: Part) -> Samples:
        """Those of one part of a given split."""
        column = self._columns().get("parts")
        return replace(self, parts=None).take([] if column is None else column.rows(name))

    def relabel(self, classes: tuple[str, ...]) -> Samples:
        """The same samples, labelled by the index of their class in `classes`."""
        places = {name: place for place, name in enumerate(classes)}
        new = {label: places[self.classes[label]] for label in set(self.labels)}
        return replace(self, labels=[new[label] for label in self.labels], classes=classes)

    def _columns(self) -> dict[str, Any]:
        """Those that are given."""
        every = {name: getattr(self, name) for name in _COLUMNS}
        return {name: column for name, column in every.items() if column is not None}


def reader(*several: Samples) -> Read:
    """What gives the content of each of their `files()`, and of other files."""
    places = {path: (samples, i) for samples in several for i, path in enumerate(samples.files())}

    def read(path: Any) -> bytes:
        samples, i = places.get(path, (None, 0))
        return samples.read(i) if samples else read_file(path)

    return read


def join(one: Samples, other: Samples) -> Samples:
    """The samples of both, which have the same source, classes and columns."""
    both = other._columns()
    return replace(
        one, **{name: column.join(both[name]) for name, column in one._columns().items()}
    )


def combine(source: Source, parts: Mapping[Part, tuple[str, Samples]]) -> Samples:
    """All samples of a split, by the keys of `source`: a name for the part, a slash, their own.

    The classes are those of the training part. Where one part has groups or weights, the others
    get groups of one and weights of 1.
    """
    classes = parts["train"][1].classes
    columns: dict[str, list[Any]] = {"paths": [], "labels": [], "parts": []}
    given = [one for _, one in parts.values()]
    columns |= {n: [] for n in ("groups", "weights") if any(getattr(one, n) for one in given)}
    for part, (name, one) in parts.items():
        paths = [f"{name}/{path}" for path in one.paths]
        own = {"paths": paths, "labels": one.relabel(classes).labels, "parts": [part] * len(one)}
        own |= {"groups": one.groups or paths, "weights": one.weights or [1.0] * len(one)}
        for column, values in columns.items():
            values.extend(own[column])
    return Samples(source=source, classes=classes, **columns)


def check_classes(samples: Samples, classes: tuple[str, ...], *, of: object) -> None:
    """Raises DataError where `samples` have classes that are not those `of` a folder or run."""
    if unknown := [name for name in samples.classes if name not in classes]:
        raise DataError(
            f"{escape_name(samples.root)} has classes that {escape_name(of)} does not know: "
            f"{', '.join(map(escape_name, unknown))}. "
            f"It knows: {', '.join(map(escape_name, classes))}."
        )
