"""RandAugment (Cubuk et al. 2020): each picture gets two operations, drawn at random, in turn.

The operations are Keras' own layers. `keras.layers.RandAugment` computes all of them for all
pictures and then takes the same two for the whole batch; here each picture draws its own, and
nothing is computed that was not drawn. On a CPU that takes a tenth of the time, or less. It also
draws operations on color among the others, so it cannot be had without them.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import Array

from kvgg_jax.core.keras_gate import keras
from kvgg_jax.core.state import AnyArray
from kvgg_jax.training.augment.random_layers import ANY, as_function
from kvgg_jax.training.step import Augment

OPERATIONS = 2  # a picture
UNIT = (0.0, 1.0)


def _operations() -> list[keras.Layer]:
    """They move what is there, and stretch each channel about its mean: the mean color stays."""
    layers = keras.layers
    return [
        layers.RandomFlip("horizontal", seed=ANY),  # of every picture
        layers.RandomShear(0.2, 0.2, fill_mode="reflect", seed=ANY),
        layers.RandomTranslation(0.2, 0.2, fill_mode="reflect", seed=ANY),
        layers.RandomRotation(0.08, fill_mode="reflect", seed=ANY),
        layers.RandomZoom(0.2, fill_mode="reflect", seed=ANY),
        layers.RandomContrast((0.3, 0.3), value_range=UNIT, seed=ANY),
    ]


def _color_operations() -> list[keras.Layer]:
    """Equalization is not among them: XLA takes a minute to compile it."""
    layers = keras.layers
    return [
        layers.RandomBrightness(0.2, value_range=UNIT, seed=ANY),
        layers.RandomHue(0.1, value_range=UNIT, seed=ANY),
        layers.RandomSaturation((0.4, 0.6), value_range=UNIT, seed=ANY),
        layers.RandomColorDegeneration(0.5, value_range=UNIT, seed=ANY),
        layers.RandomPosterization(4, value_range=UNIT, seed=ANY),
        layers.Solarization(0.2, 0.2, value_range=UNIT, seed=ANY),
        layers.AutoContrast(value_range=UNIT),
    ]


def make_randaugment(*, seed: int, image_size: int, color: bool = False) -> Augment:
    """(images, step) -> images, float32 [batch, size, size, 3] in [0, 1]; see `make_augment`."""
    chosen = [*_operations(), *(_color_operations() if color else [])]
    mirror, *layers = (_of_one(layer, image_size) for layer in chosen)
    operations = [lambda image, key: image, *layers]

    def change(image: Array, key: Array) -> tuple[Array, None]:
        choose, draw = jax.random.split(key)
        number = jax.random.randint(choose, (), 0, len(operations))
        return jax.lax.switch(number, operations, image, draw), None

    def one(pair: tuple[Array, Array]) -> Array:
        image, (first, *others) = pair
        return jax.lax.scan(change, mirror(image, first), jnp.stack(others))[0]

    def augment(images: AnyArray, step: AnyArray) -> Array:
        key = jax.random.fold_in(jax.random.key(seed), step)
        return jax.lax.map(one, (images, jax.random.split(key, (len(images), 1 + OPERATIONS))))

    return augment


def _of_one(layer: keras.Layer, size: int) -> Callable[[Array, Array], Array]:
    """The layer for one picture, float32 [size, size, 3] in [0, 1], and a key."""
    layer.build((None, size, size, 3))
    of_batch = as_function(layer)
    return lambda image, key: of_batch(image[None], key)[0].clip(*UNIT)
