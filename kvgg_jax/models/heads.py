"""The heads, from the outputs of a backbone's stages to logits: a name and what it makes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from kvgg_jax.core.tables.model import ModelConfig
from kvgg_jax.models.backbone import Head, Layers, Pooling, T

LAST = "predictions"
STANDARDIZED = "standardized"  # name of the layer that a linear head begins with


@dataclass(frozen=True, slots=True)
class Whole:
    """The last stage's output as it is."""

    def __call__(self, layers: Layers[T], outputs: Sequence[T]) -> T:
        """Maps [height, width, channels]."""
        return outputs[-1]


@dataclass(frozen=True, slots=True)
class Means:
    """Global average pooling of the last stage's output."""

    def __call__(self, layers: Layers[T], outputs: Sequence[T]) -> T:
        """One value per channel."""
        return layers.average(outputs[-1], "gap")


@dataclass(frozen=True, slots=True)
class MeansAndMaxima:
    """Global average and maximum pooling of the outputs of the last `stages` stages."""

    stages: int

    def __call__(self, layers: Layers[T], outputs: Sequence[T]) -> T:
        """Two values per channel."""
        last = enumerate(outputs[-self.stages :], 1)
        return layers.join([layers.means_and_maxima(x, f"pool{n}") for n, x in last], "pooled")


@dataclass(frozen=True, slots=True)
class DenseHead:
    """Hidden layers of these sizes, dropout after each, and the logits."""

    sizes: tuple[int, ...]
    pooling: Pooling = Whole()

    def logits(self, layers: Layers[T], features: T) -> T:
        """From all values of the maps."""
        x = layers.flatten(features, "flatten")
        for i, units in enumerate(self.sizes, 1):
            x = layers.dropout(layers.dense(x, units, f"fc{i}"), f"fc{i}_dropout")
        return layers.logits(x, LAST)


@dataclass(frozen=True, slots=True)
class AverageHead:
    """The logits alone, after dropout."""

    pooling: Pooling = Means()

    def logits(self, layers: Layers[T], features: T) -> T:
        """From the mean of each channel."""
        return layers.logits(layers.dropout(features, "gap_dropout"), LAST)


@dataclass(frozen=True, slots=True)
class LinearHead:
    """The logits alone, of standardized features, after dropout."""

    pooling: Pooling

    def logits(self, layers: Layers[T], features: T) -> T:
        """From vectors."""
        x = layers.standardize(features, STANDARDIZED)
        return layers.logits(layers.dropout(x, "pooled_dropout"), LAST)


HEADS: dict[str, Callable[[ModelConfig], Head]] = {
    "full": lambda config: DenseHead((4096, 4096)),
    "slim": lambda config: DenseHead((1024, 512)),
    "gap": lambda config: AverageHead(),
    "linear": lambda config: LinearHead(MeansAndMaxima(config.pooled_stages)),
}


def choose_head(config: ModelConfig) -> Head:
    """The head of that name, or with hidden layers of the sizes listed: `"256,128"`."""
    if config.head in HEADS:
        return HEADS[config.head](config)
    return DenseHead(tuple(map(int, config.head.split(","))))
