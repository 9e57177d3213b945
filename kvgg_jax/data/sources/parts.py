"""A split whose parts come from several sources."""

from __future__ import annotations

from dataclasses import dataclass

from kvgg_jax.core.places import Place
from kvgg_jax.data.samples import Part, Samples, check_classes, combine
from kvgg_jax.data.source import Source


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
