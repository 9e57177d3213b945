"""Photos packed into shards: tar files with an index, which `data/shards` reads."""

from __future__ import annotations

import hashlib
import os
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np

from kvgg_jax.core.errors import DataError, ImageError
from kvgg_jax.core.places import Place
from kvgg_jax.core.text import escape_name
from kvgg_jax.data.samples import Samples
from kvgg_jax.data.shards.index import ABOUT, FOLDER, UNFINISHED, Index, read_index
from kvgg_jax.data.shards.tar import shard_name

OPEN = 128  # shards that are open at once


@dataclass(frozen=True)
class Shards:
    """The photos in a folder of shards, by the keys of the folder that was packed."""

    root: Path

    @cached_property
    def index(self) -> Index:
        """Read at its first use. Raises DataError."""
        return read_index(self.root)

    def list_keys(self) -> Sequence[str]:
        """Those in the index. Raises DataError."""
        return self.index.keys

    def name(self, key: str) -> str:
        """Its key below `root`."""
        return str(self.root / key)

    def read(self, key: str) -> bytes:
        """The content of its file, as it was packed. Raises ImageError."""
        row = self.index.find(key)
        if row is None:
            raise ImageError(f"{escape_name(self.name(key))}: is not in the index of the shards.")
        columns = self.index.columns
        shard = self.index.shards[columns["shard"][row]]
        length, offset = (int(columns[name][row]) for name in ("length", "offset"))
        try:
            content = self._open(shard.name).read(length, offset)
        except OSError as error:
            raise self._unreadable(key, shard.name, str(error.strerror)) from None
        if hashlib.sha256(content).digest() != columns["sha256"][row].tobytes():
            raise self._unreadable(key, shard.name, "other bytes than were packed")
        return content

    @cached_property
    def _open(self) -> Callable[[str], _Open]:
        return lru_cache(OPEN)(lambda name: _Open(self.root / name))

    def _unreadable(self, key: str, shard: str, reason: str) -> ImageError:
        return ImageError(
            f"{escape_name(self.name(key))}: cannot be read from {shard} ({reason}). Copy the "
            "shard again, or pack the photos again."
        )


class _Open:
    """An open file, closed once nobody reads it any more."""

    def __init__(self, file: Path) -> None:
        self._number = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
        weakref.finalize(self, os.close, self._number)

    def read(self, length: int, offset: int) -> bytes:
        """So many bytes from a place on, fewer at the end."""
        return os.pread(self._number, length, offset)


def is_packed(place: Place) -> bool:
    """Whether it is a folder of shards, of a pack that was stopped too."""
    signs = f"{FOLDER}/{ABOUT}", UNFINISHED, shard_name(0)
    return any(os.path.exists(f"{place}/{sign}") for sign in signs)


def scan_shards(root: Path, *, to_train: bool = True) -> Samples:
    """The photos in the shards of `root`, in the order in which they were packed.

    Raises DataError where shards or index are not whole; without `to_train`, one class is enough,
    and others may be empty.
    """
    source = Shards(root)
    samples = Samples(source, **source.index.table())
    counts = np.bincount(np.array(samples.labels), minlength=len(samples.classes))
    missing = [escape_name(samples.classes[label]) for label in np.flatnonzero(counts == 0)]
    if to_train and len(samples.classes) == 1:
        raise DataError(
            f"{escape_name(root)} has photos of 1 class ({samples.classes[0]!r}); a classifier "
            "needs 2."
        )
    if to_train and missing:
        raise DataError(f"{escape_name(root)} has no photos of {', '.join(missing)}. Pack others.")
    return samples
