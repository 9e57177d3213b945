"""A training order that needs a few blocks of photos at a time, such as shards elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from kvgg_jax.core.errors import ConfigError
from kvgg_jax.core.text import escape_name
from kvgg_jax.data.samples import Samples

AHEAD = 8  # batches that a pipeline may read before they are asked for

Rows = NDArray[np.int64]


@runtime_checkable
class Blocks(Protocol):
    """A source whose photos lie in blocks, each of which is best read as a whole."""

    def block_of(self, keys: Sequence[str]) -> Rows | None:
        """The number of the block of each photo; None where they lie in none."""

    def expect(self, blocks: Sequence[int]) -> None:
        """Say which are read next, the first ones first, and no others for long."""

    def most(self) -> int:
        """How many can be near at once."""


@dataclass(frozen=True, slots=True)
class Windows:
    """Windows of `size` blocks, within which photos are shuffled."""

    source: Blocks
    blocks: Rows
    """[rows of a store], the block of each photo."""
    size: int

    def sort(self, order: Rows, rng: np.random.Generator) -> Rows:
        """The shuffled rows of an epoch, window by window: each block is in one of them."""
        names, place = np.unique(self.blocks[order], return_inverse=True)
        window = rng.permutation(len(names)) // self.size
        return order[np.argsort(window[place], kind="stable")]

    @contextmanager
    def announced(self, order: Rows, batch_size: int) -> Iterator[Callable[[int], None]]:
        """A function to call with each step of an epoch before it is read: it tells the source
        which blocks are near."""
        names, first = np.unique(self.blocks[order], return_index=True)
        by_use = np.argsort(first)
        names, starts = names[by_use], first[by_use][:: self.size]
        told = (-1, -1)

        def reach(step: int) -> None:
            nonlocal told
            places = step * batch_size, (step + AHEAD) * batch_size
            now, last = (int(np.searchsorted(starts, at, "right")) - 1 for at in places)
            last = max(last, now + 1)  # while one is read, the next one comes
            if (now, last) != told:
                told = (now, last)
                self.source.expect(names[now * self.size : (last + 1) * self.size].tolist())

        try:
            yield reach
        finally:
            self.source.expect(())


def find_windows(photos: Samples, rows: Rows, size: int | None) -> Windows | None:
    """Those of training photos, which are at `rows` of a store; None without `size`.

    Raises ConfigError where they lie in no blocks, or more are near than can be.
    """
    if size is None:
        return None
    source = photos.source
    blocks = source.block_of(photos.paths) if isinstance(source, Blocks) else None
    if not isinstance(source, Blocks) or blocks is None:
        raise ConfigError(
            f"`data.shuffle_shards = {size}` is for shards, and {escape_name(photos.root)} has "
            "none. Leave it out, or pack the photos: kvgg data pack."
        )
    near, most = min(2 * size, len(np.unique(blocks))), source.most()
    if near > most:
        raise ConfigError(
            f"`data.shuffle_shards = {size}` has {near} shards on this machine at once, those that "
            f"come next included, and {most} are kept. Choose fewer, or pack smaller ones."
        )
    of_row = np.full(rows.max(initial=0) + 1, -1)
    of_row[rows] = blocks
    return Windows(source, of_row, size)
