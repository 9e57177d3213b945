"""RandAugment: each image draws its own operations."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import Array

from kvgg_jax.core.devices.mesh import by_rows
from kvgg_jax.core.keras_gate import keras
from kvgg_jax.core.state import AnyArray
from kvgg_jax.training.augment.layers import ANY, UNIT, as_function
from kvgg_jax.training.step import Augment

OPERATIONS = 2  # per image


def make_randaugment(*, seed: int, image_size: int, color: bool = False) -> Augment:
    """RandAugment (Cubuk et al. 2020): each image gets two operations, drawn at random, in turn.

    `keras.layers.RandAugment` computes all operations for all images and takes the same two for the
    whole batch; here each image draws its own, in a tenth of the time on a CPU. Keras' layer also
    has operations on color, and no switch for them.
    """
    chosen = [*_operations(), *(_color_operations() if color else [])]
    mirror, *layers = (_for_one_image(layer, image_size) for layer in chosen)
    operations = [lambda image, key: image, *layers]

    def change(image: Array, key: Array) -> tuple[Array, None]:
        choose, draw = jax.random.split(key)
        number = jax.random.randint(choose, (), 0, len(operations))
        return jax.lax.switch(number, operations, image, draw), None

    def one(pair: tuple[Array, Array]) -> Array:
        image, (first, *others) = pair
        return jax.lax.scan(change, mirror(image, first), jnp.stack(others))[0]

    def in_turn(images: AnyArray, keys: Array) -> Array:
        return jax.lax.map(one, (images, keys))

    def augment(images: AnyArray, step: AnyArray) -> Array:
        key = jax.random.fold_in(jax.random.key(seed), step)
        keys = jax.random.split(key, (len(images), 1 + OPERATIONS))
        return by_rows(in_turn, rows=(True, True))(images, keys)

    return augment


def _operations() -> list[keras.layers.Layer]:
    """They move pixels, and stretch each channel about its mean: the mean color stays."""
    layers = keras.layers
    return [
        layers.RandomFlip("horizontal", seed=ANY),  # of every image
        layers.RandomShear(0.2, 0.2, fill_mode="reflect", seed=ANY),
        layers.RandomTranslation(0.2, 0.2, fill_mode="reflect", seed=ANY),
        layers.RandomRotation(0.08, fill_mode="reflect", seed=ANY),
        layers.RandomZoom(0.2, fill_mode="reflect", seed=ANY),
        layers.RandomContrast((0.3, 0.3), value_range=UNIT, seed=ANY),
    ]


def _color_operations() -> list[keras.layers.Layer]:
    """Without equalization, which XLA takes a minute to compile."""
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


def _for_one_image(layer: keras.layers.Layer, size: int) -> Callable[[Array, Array], Array]:
    """The layer for one image, float32 [size, size, 3] in [0, 1], and a key."""
    layer.build((None, size, size, 3))
    of_batch = as_function(layer)
    return lambda image, key: of_batch(image[None], key)[0].clip(*UNIT)
