"""Columns of a table of photos: sequences of values in a few arrays.

A million paths take the memory of their bytes, where a million strings take 100 MB more. A column
equals any sequence of the same values.
"""

from __future__ import annotations

from abc import abstractmethod
from array import array
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Generic, Self, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T")
CHUNK = 4096  # values made at a time by an iterator
Rows = NDArray[np.int64]


class Column(Sequence[T], Generic[T]):
    """A sequence whose rows are taken as an array's are."""

    @abstractmethod
    def take(self, rows: Rows) -> Self:
        """The values at `rows`, in that order."""

    @abstractmethod
    def join(self, other: Self) -> Self:
        """The values of both."""

    @abstractmethod
    def _values(self, rows: slice) -> Iterable[T]: ...

    @overload
    def __getitem__(self, at: int) -> T: ...
    @overload
    def __getitem__(self, at: slice) -> Self: ...
    def __getitem__(self, at: int | slice) -> T | Self:
        if isinstance(at, slice):
            return self.take(np.arange(len(self))[at])
        row = range(len(self))[at]  # IndexError as of a list
        (value,) = self._values(slice(row, row + 1))
        return value

    def __iter__(self) -> Iterator[T]:
        for start in range(0, len(self), CHUNK):
            yield from self._values(slice(start, start + CHUNK))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence):
            return NotImplemented
        return len(self) == len(other) and all(a == b for a, b in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return repr(tuple(self))


class Numbers(Column[T]):
    """Python's numbers from `values`, an array of one dimension."""

    def __init__(self, values: NDArray[Any]) -> None:
        self.values = values

    def __len__(self) -> int:
        return len(self.values)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.array(self.values, dtype, copy=copy)

    def take(self, rows: Rows) -> Self:
        """The values at `rows`, in that order."""
        return type(self)(self.values[rows])

    def join(self, other: Self) -> Self:
        """The values of both."""
        return type(self)(np.concatenate([self.values, other.values]))

    def _values(self, rows: slice) -> Iterable[T]:
        return self.values[rows].tolist()


class Texts(Column[str]):
    """Texts in one string of bytes, which those taken from it share."""

    def __init__(self, content: Any, starts: NDArray[np.int64], stops: NDArray[np.int64]) -> None:
        self.content, self.starts, self.stops = memoryview(content), starts, stops

    @classmethod
    def of(cls, texts: Iterable[str]) -> Self:
        """Those of any sequence."""
        if isinstance(texts, cls):
            return texts
        content, ends = bytearray(), array("q", [0])
        for text in texts:
            content += encode(text)
            ends.append(len(content))
        return cls.packed(content, np.asarray(ends))

    @classmethod
    def packed(cls, content: Any, ends: NDArray[np.int64]) -> Self:
        """Those that follow each other in `content`; `ends` are 0 and the end of each."""
        return cls(content, ends[:-1], ends[1:])

    def pack(self) -> tuple[bytes, NDArray[np.int64]]:
        """The inverse of `packed`."""
        pairs = zip(self.starts.tolist(), self.stops.tolist(), strict=True)
        content = b"".join(self.content[start:stop] for start, stop in pairs)
        return content, np.append(0, np.cumsum(self.stops - self.starts))

    def __len__(self) -> int:
        return len(self.starts)

    def take(self, rows: Rows) -> Self:
        """The values at `rows`, in that order."""
        return type(self)(self.content, self.starts[rows], self.stops[rows])

    def join(self, other: Self) -> Self:
        """The values of both."""
        content, shift = self.content, 0
        if other.content.obj is not content.obj:
            content, shift = memoryview(b"".join([content, other.content])), len(content)
        starts = np.concatenate([self.starts, other.starts + shift])
        return type(self)(content, starts, np.concatenate([self.stops, other.stops + shift]))

    def find(self, other: Texts) -> Rows:
        """Where each of `other` is in this one, which has each text once; -1 where it is not."""
        if other.content.obj is not self.content.obj:
            return self._find_elsewhere(other)
        order = np.argsort(self.starts)  # what starts at one place is one text
        places = np.searchsorted(self.starts, other.starts, sorter=order)
        rows = np.append(order, -1)[places]
        return np.where(np.append(self.starts, -1)[rows] == other.starts, rows, -1)

    def without(self, others: Texts) -> Self:
        """Those that are not among `others`."""
        return self.take(np.flatnonzero(others.find(self) < 0))

    def _find_elsewhere(self, other: Texts) -> Rows:
        """By their hashes: a dictionary of a million texts would take 200 MB."""
        hashes, wanted = self._hashes(), other._hashes()
        order = np.argsort(hashes)
        first, stop = (
            np.searchsorted(hashes, wanted, side, sorter=order) for side in ("left", "right")
        )
        rows = np.full(len(other), -1)
        for at in np.flatnonzero(first < stop):
            text = other.content[other.starts[at] : other.stops[at]]
            for row in order[first[at] : stop[at]]:
                if text == self.content[self.starts[row] : self.stops[row]]:
                    rows[at] = row
        return rows

    def _hashes(self) -> NDArray[np.int64]:
        return np.fromiter(map(hash, self), np.int64, len(self))

    def order(self) -> Rows:
        """The rows in the order of their texts, as `sorted` has it: that of their bytes."""
        content, lengths = np.asarray(self.content), self.stops - self.starts
        order = np.argsort(lengths, kind="stable")  # of two that begin alike, the shorter is first
        for start in range(0, int(lengths.max(initial=0)), 8)[::-1]:  # the last eight bytes first
            words = np.zeros(len(self), np.uint64)
            for byte in range(start, start + 8):
                words <<= np.uint64(8)
                has = np.flatnonzero(lengths > byte)
                words[has] |= content[self.starts[has] + byte]
            order = order[np.argsort(words[order], kind="stable")]
        return order

    def _values(self, rows: slice) -> Iterable[str]:
        pairs = zip(self.starts[rows].tolist(), self.stops[rows].tolist(), strict=True)
        return (str(self.content[start:stop], "utf-8", "surrogatepass") for start, stop in pairs)


class Categories(Column[str]):
    """Few texts, `names`, that come many times: `codes` are their places."""

    def __init__(self, names: Sequence[str], codes: NDArray[np.int32]) -> None:
        self.names, self.codes = names, codes

    @classmethod
    def of(cls, texts: Iterable[str]) -> Self:
        """Those of any sequence; the names are in the order of their first use."""
        places: dict[str, int] = {}
        codes = np.fromiter((places.setdefault(text, len(places)) for text in texts), np.int32)
        return cls(tuple(places), codes)

    def rows(self, name: str) -> Rows:
        """Where `name` is, in order."""
        return np.flatnonzero(self.codes == self.names.index(name) if name in self.names else [])

    def __len__(self) -> int:
        return len(self.codes)

    def take(self, rows: Rows) -> Self:
        """The values at `rows`, in that order."""
        return type(self)(self.names, self.codes[rows])

    def join(self, other: Self) -> Self:
        """The values of both."""
        if self.names is other.names:
            return type(self)(self.names, np.concatenate([self.codes, other.codes]))
        return type(self).of([*self, *other])

    def _values(self, rows: slice) -> Iterable[str]:
        return (self.names[code] for code in self.codes[rows].tolist())


class Digests(Column[str]):
    """SHA-256 in hexadecimal, each kept as its 32 bytes: uint8 [count, 32]."""

    def __init__(self, values: NDArray[np.uint8]) -> None:
        self.values = values

    @classmethod
    def blank(cls, count: int) -> Self:
        """As many, to `put` others into."""
        return cls(np.zeros((count, 32), np.uint8))

    def put(self, row: int, digest: str) -> None:
        """Replace one."""
        self.values[row] = np.frombuffer(bytes.fromhex(digest), np.uint8)

    def __len__(self) -> int:
        return len(self.values)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """One value of 32 bytes each, sorted as their texts are."""
        return np.array(self.values.view("V32").ravel(), dtype, copy=copy)

    def take(self, rows: Rows) -> Self:
        """The values at `rows`, in that order."""
        return type(self)(self.values[rows])

    def join(self, other: Self) -> Self:
        """The values of both."""
        return type(self)(np.concatenate([self.values, other.values]))

    def _values(self, rows: slice) -> Iterable[str]:
        return (row.tobytes().hex() for row in self.values[rows])


def encode(text: str) -> bytes:
    """UTF-8, and of what is no text in a file's name, surrogates, too."""
    return text.encode("utf-8", "surrogatepass")
