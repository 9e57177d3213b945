"""Networks of the user's own, by a function that builds them."""

from __future__ import annotations

import math
from dataclasses import dataclass

from kvgg_jax.core.errors import ConfigError
from kvgg_jax.core.keras_gate import keras
from kvgg_jax.core.tables.architectures import BuildBackbone
from kvgg_jax.core.tables.data import MIN_IMAGE_SIZE, PHOTO_SIZE


@dataclass(frozen=True, slots=True)
class Own:
    """A function that was registered. It prepares images by itself."""

    name: str
    build: BuildBackbone
    smallest_size: int = MIN_IMAGE_SIZE
    native_size: int = PHOTO_SIZE

    def make(self, image_size: int) -> keras.Model:
        """What the function returns, checked; its tokens or features as maps.

        Raises ConfigError for anything but a functional model of such images.
        """
        try:
            model = self.build(image_size)
        except (TypeError, ValueError) as error:
            raise self._fault(f"cannot be built for {image_size} pixels a side: {error}") from error
        if not isinstance(model, keras.Function | keras.Sequential):
            raise self._fault("is no functional model: build it as keras.Model(inputs, outputs)")
        shape, count = (None, image_size, image_size, 3), len(model.outputs)
        if model.input_shape != shape or count != 1:
            raise self._fault(
                f"takes {model.input_shape} and has {count} outputs: it must take images {shape} "
                "and have one"
            )
        return keras.Model(model.input, as_maps(model.outputs[0]))

    def unused(self, model: keras.Model) -> list[str]:
        """None of it."""
        return []

    def prepare(self, image: keras.KerasTensor, *, standardize: bool) -> keras.KerasTensor:
        """As it is."""
        return image

    def _fault(self, text: str) -> ConfigError:
        return ConfigError(f"The network {self.name} {text}.")


def as_maps(output: keras.KerasTensor) -> keras.KerasTensor:
    """Maps as they are; features [batch, channels] as one pixel; tokens as the square they are of.

    Tokens before the square, such as the class token of a ViT, are left out.
    """
    *sides, channels = output.shape[1:]
    if len(sides) == 2:
        return output
    side = math.isqrt(sides[0]) if sides else 1
    if sides and (extra := sides[0] - side * side):
        output = keras.layers.Cropping1D((extra, 0), name="patch_tokens")(output)
    return keras.layers.Reshape((side, side, channels), name="maps")(output)
