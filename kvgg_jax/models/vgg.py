"""VGG (Simonyan & Zisserman 2015, "Very Deep Convolutional Networks", table 1)."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Self

from kvgg_jax.core.tables.data import PHOTO_SIZE
from kvgg_jax.models.backbone import Layers, T

# Output channels of the 3x3 convolutions, block by block.
# Columns A, B, D and E of the table; C is D with 1x1 kernels and is not offered.
BLOCKS: dict[str, tuple[tuple[int, ...], ...]] = {
    "vgg11": ((64,), (128,), (256,) * 2, (512,) * 2, (512,) * 2),
    "vgg13": ((64,) * 2, (128,) * 2, (256,) * 2, (512,) * 2, (512,) * 2),
    "vgg16": ((64,) * 2, (128,) * 2, (256,) * 3, (512,) * 3, (512,) * 3),
    "vgg19": ((64,) * 2, (128,) * 2, (256,) * 4, (512,) * 4, (512,) * 4),
}


@dataclass(frozen=True, slots=True)
class Vgg:
    """Blocks of 3x3 convolutions and a 2x2 max pooling, named as in Keras Applications."""

    blocks: tuple[tuple[int, ...], ...]
    pooling: int = 2
    native_size: int = PHOTO_SIZE
    pretrained_preprocessing: str = "caffe"

    def widened(self, width: float) -> Self:
        """One with `width` times the channels, as MobileNet's width multiplier has it."""
        blocks = tuple(tuple(round(width * channels) for channels in one) for one in self.blocks)
        return replace(self, blocks=blocks)

    @property
    def depth(self) -> int:
        """A block each."""
        return len(self.blocks)

    def stage_of(self, name: str) -> int | None:
        """By the number in the name."""
        found = re.match(r"block(\d)_", name)
        return int(found[1]) - 1 if found else None

    @property
    def stride(self) -> int:
        """Each block halves the sides."""
        return int(2**self.depth)

    @property
    def min_size(self) -> int:
        """Of which one pixel is left."""
        return self.stride

    def stage_maps(self, layers: Layers[T], x: T) -> tuple[T, ...]:
        """All but the last pooling."""
        outputs: list[T] = []
        for b, block in enumerate(self.blocks, 1):
            for c, channels in enumerate(block, 1):
                x = layers.conv(x, channels, f"block{b}_conv{c}")
            if b < self.depth:
                x = layers.pool(x, f"block{b}_pool")
            outputs.append(x)
        return tuple(outputs)

    def features(self, layers: Layers[T], maps: T) -> T:
        """The last pooling."""
        return layers.pool(maps, f"block{self.depth}_pool")
