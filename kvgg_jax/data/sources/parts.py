"""A split whose parts come from several sources."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kvgg_jax.core.places import Place
from kvgg_jax.data.samples import Part, Samples, check_classes, combine
from kvgg_jax.data.source import Source
from kvgg_jax.data.windows import Blocks


@dataclass(frozen=True, slots=True)
class Parts:
    """The photos of each part; their keys start with its name, as in a folder of its folders."""

    train: Source
    val: Source | None = None
    test: Source | None = None

    @property
    def root(self) -> Place:
        """That of the training part."""
        return self.train.root

    def list_keys(self) -> list[str]:
        """Those of all parts."""
        return [f"{part}/{key}" for part, one in self._given().items() for key in one.list_keys()]

    def name(self, key: str) -> str:
        """As its source names it."""
        source, own = self._find(key)
        return source.name(own)

    def read(self, key: str) -> bytes:
        """The content of its file. Raises ImageError."""
        source, own = self._find(key)
        return source.read(own)

    def block_of(self, keys: Sequence[str]) -> NDArray[np.int64] | None:
        """As `windows.Blocks` says, of training photos."""
        if not isinstance(self.train, Blocks):
            return None
        return self.train.block_of([key.partition("/")[2] for key in keys])

    def expect(self, blocks: Sequence[int]) -> None:
        """As `windows.Blocks` says."""
        if isinstance(self.train, Blocks):
            self.train.expect(blocks)

    def most(self) -> int:
        """As `windows.Blocks` says."""
        return self.train.most() if isinstance(self.train, Blocks) else 0

    def _given(self) -> dict[Part, Source]:
        every: dict[Part, Source | None] = {
            "train": self.train,
            "val": self.val,
            "test": self.test,
        }
        return {part: one for part, one in every.items() if one is not None}

    def _find(self, key: str) -> tuple[Source, str]:
        part, _, own = key.partition("/")
        return getattr(self, part), own


def join_parts(parts: dict[Part, Samples]) -> Samples:
    """The photos of all parts. Raises DataError where one has classes that training has not."""
    train = parts["train"]
    for one in parts.values():
        check_classes(one, train.classes, of=train.root)
    source = Parts(**{part: one.source for part, one in parts.items()})
    return combine(source, {part: (part, one) for part, one in parts.items()})
