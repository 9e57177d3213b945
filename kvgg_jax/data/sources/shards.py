"""Photos packed into shards: tar files with an index, which `data/shards` reads."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from kvgg_jax.core.errors import DataError, ImageError
from kvgg_jax.core.places import Place
from kvgg_jax.core.text import escape_name
from kvgg_jax.data.columns import Texts
from kvgg_jax.data.samples import Samples
from kvgg_jax.data.shards.index import ABOUT, FOLDER, UNFINISHED, Index, read_index
from kvgg_jax.data.shards.place import OTHER, has
from kvgg_jax.data.shards.reading import Reading, open_shards
from kvgg_jax.data.shards.tar import shard_name


@dataclass(frozen=True)
class Shards:
    """The photos in a folder of shards, by the keys of the folder that was packed."""

    root: Place

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
        """The content of its file, as it was packed. Raises ImageError, and DataError where a
        shard elsewhere cannot be had: a photo is not bad because the network is."""
        row = self.index.find(key)
        if row is None:
            raise ImageError(f"{escape_name(self.name(key))}: is not in the index of the shards.")
        columns = self.index.columns
        number, length, offset = (int(columns[name][row]) for name in ("shard", "length", "offset"))
        shard = self.index.shards[number]
        try:
            content = self._shards.read(number, length, offset)
        except OSError as error:
            raise self._unreadable(key, shard.name, str(error.strerror)) from None
        if hashlib.sha256(content).digest() != columns["sha256"][row].tobytes():
            raise self._unreadable(key, shard.name, OTHER)
        return content

    @cached_property
    def _shards(self) -> Reading:
        return open_shards(self.root, self.index.shards)

    def block_of(self, keys: Sequence[str]) -> NDArray[np.int64]:
        """As `windows.Blocks` says: the number of the shard of each photo."""
        rows = self.index.keys.find(keys if isinstance(keys, Texts) else Texts.of(keys))
        return np.asarray(self.index.columns["shard"][rows], np.int64)

    def expect(self, blocks: Sequence[int]) -> None:
        """As `windows.Blocks` says."""
        self._shards.expect(blocks)

    def most(self) -> int:
        """As `windows.Blocks` says."""
        return self._shards.most()

    def _unreadable(self, key: str, shard: str, reason: str) -> ImageError:
        return ImageError(
            f"{escape_name(self.name(key))}: cannot be read from {shard} ({reason}). Copy the "
            "shard again, or pack the photos again."
        )


def is_packed(place: Place) -> bool:
    """Whether it is a folder of shards, of a pack that was stopped too. Raises DataError where an
    address does not answer."""
    return any(has(place, sign) for sign in (f"{FOLDER}/{ABOUT}", UNFINISHED, shard_name(0)))


def scan_shards(root: Place, *, to_train: bool = True) -> Samples:
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
