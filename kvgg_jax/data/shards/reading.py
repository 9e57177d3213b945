"""The bytes of photos out of shards: of files here, or of files at an address."""

from __future__ import annotations

import contextlib
import os
import weakref
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from typing import Protocol

from kvgg_jax.core.errors import DataError
from kvgg_jax.core.places import Place, Url
from kvgg_jax.core.text import escape_name
from kvgg_jax.data.shards.place import whole
from kvgg_jax.data.shards.tar import Shard
from kvgg_jax.data.sources.remote import downloads, fetch_part

OPEN = 128  # shards that are open at once
COMING = 4  # shards that are downloaded at once before they are needed


class Reading(Protocol):
    """Reads shards by their numbers, from any thread."""

    def read(self, number: int, length: int, offset: int) -> bytes:
        """So many bytes from a place on, fewer at the end. Raises OSError, DataError."""

    def expect(self, numbers: Sequence[int]) -> None:
        """Say which shards are read next, and no others for long."""

    def most(self) -> int:
        """How many shards can be near at once."""


def open_shards(root: Place, shards: tuple[Shard, ...]) -> Reading:
    """What reads the shards of a folder."""
    return Elsewhere(root, shards) if isinstance(root, Url) else Here(root, shards)


class Here:
    """Shards in a folder."""

    def __init__(self, root: Path, shards: tuple[Shard, ...]) -> None:
        self._count = len(shards)
        self._open = lru_cache(OPEN)(lambda number: _Open(root / shards[number].name))

    def read(self, number: int, length: int, offset: int) -> bytes:
        """As `Reading` says."""
        return self._open(number).read(length, offset)

    def expect(self, numbers: Sequence[int]) -> None:
        """Nothing has to be done."""

    def most(self) -> int:
        """All."""
        return self._count


class Elsewhere:
    """Shards at an address. They come whole and are kept if all of them fit among what is kept, or
    if they are expected; of others, only the bytes that are asked for."""

    def __init__(self, root: Url, shards: tuple[Shard, ...]) -> None:
        self._root, self._shards = root, shards
        self._fit = sum(shard.bytes for shard in shards) <= downloads().room
        self._expected: frozenset[int] = frozenset()
        self._pool = ThreadPoolExecutor(COMING)
        self._coming: list[Future[_Open]] = []
        self._open = lru_cache(OPEN)(self._open_whole)

    def read(self, number: int, length: int, offset: int) -> bytes:
        """As `Reading` says."""
        shard = self._shards[number]
        if self._fit or number in self._expected or downloads().find(shard.sha256):
            # Just now, it may have been removed to make room for others.
            with contextlib.suppress(FileNotFoundError):
                return self._open(number).read(length, offset)
        content = fetch_part(self._root / shard.name, offset, length)
        if len(content) > length:
            raise DataError(
                f"{escape_name(self._root)}: its server sends no parts of a file, and all shards "
                "are more than this machine keeps. Copy them to this machine: `data.dir`."
            )
        return content

    def expect(self, numbers: Sequence[int]) -> None:
        """As `Reading` says; they are downloaded meanwhile."""
        for one in self._coming:
            one.cancel()
        self._open.cache_clear()  # a file that is removed takes its space until it is closed
        self._expected = frozenset(numbers)
        self._coming = [self._pool.submit(self._open, number) for number in numbers]

    def most(self) -> int:
        """As many as are kept."""
        largest = max(shard.bytes for shard in self._shards)
        return len(self._shards) if self._fit else downloads().room // largest

    def _open_whole(self, number: int) -> _Open:
        shard = self._shards[number]
        return _Open(whole(self._root / shard.name, shard.sha256))


class _Open:
    """An open file, closed once nobody reads it any more."""

    def __init__(self, file: Path) -> None:
        self._number = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
        weakref.finalize(self, os.close, self._number)

    def read(self, length: int, offset: int) -> bytes:
        """So many bytes from a place on, fewer at the end."""
        return os.pread(self._number, length, offset)
