"""A backbone that Keras builds: it is asked for all about it, when that is needed."""

from __future__ import annotations

from dataclasses import dataclass

from kvgg_jax.models.backbone import Layers, T


@dataclass(frozen=True, slots=True)
class KerasBackbone:
    """One of Keras Applications, or a registered one. It prepares images by itself."""

    name: str
    stride: int | None = None
    pooling: int = 1
    pretrained_preprocessing: str | None = None

    @property
    def depth(self) -> int:
        """As many as its resolutions."""
        from kvgg_jax.models.from_keras.networks import stage_numbers

        return 1 + max(stage_numbers(self.name).values())

    def stage_of(self, name: str) -> int | None:
        """By the name of the layer."""
        from kvgg_jax.models.from_keras.networks import stage_numbers

        return stage_numbers(self.name).get(name.partition("/")[0])

    @property
    def min_size(self) -> int:
        """As Keras reports it."""
        from kvgg_jax.models.from_keras.networks import find_source

        return find_source(self.name).smallest_size

    @property
    def native_size(self) -> int:
        """As its source says."""
        from kvgg_jax.models.from_keras.networks import find_source

        return find_source(self.name).native_size

    def stage_maps(self, layers: Layers[T], x: T) -> tuple[T, ...]:
        """All of it."""
        return layers.network(x, self.name)

    def features(self, layers: Layers[T], maps: T) -> T:
        """The last maps as they are."""
        return maps
