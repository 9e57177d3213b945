"""Random regions of training images: one that is cut out and resized, one that is erased."""

from __future__ import annotations

import math
from typing import Any

from jax import Array

from kvgg_jax.core.keras_gate import keras
from kvgg_jax.core.state import AnyArray
from kvgg_jax.training.augment.layers import ANY, CROP, ERASE, UNIT, as_function, key_at
from kvgg_jax.training.step import Augment

LARGEST = 2.0  # of the network's side, from which crops are cut: four times the memory
STRETCH = 4 / 3  # of a crop, either way
GRAY = 0.5  # of erased pixels: no color that the photo may not have


def side_to_crop(image_size: int, crop: float) -> int:
    """Pixels per side from which the smallest crops still have `image_size`, at most twice that."""
    return math.ceil(image_size * min(LARGEST, crop**-0.5))


def make_crop(crop: float | None, *, seed: int, image_size: int) -> Augment | None:
    """(images, step) -> a random crop of each, float32 [batch, size, size, 3]; None without `crop`.

    `crop` is the smallest share of the area. The images may be of any size.
    """
    if crop is None:
        return None
    layer = RandomResizedCrop(image_size, smallest=crop, seed=ANY)
    layer.build(None)
    cropped = as_function(layer)

    def augment(images: AnyArray, step: AnyArray) -> Array:
        return cropped(images, key_at(step, seed=seed, stream=CROP)).clip(*UNIT)

    return augment


class RandomResizedCrop(keras.layers.Layer):
    """A random rectangle of each image, resized to `size` x `size` with antialiasing.

    As in Szegedy et al. 2015: its share of the area is uniform from `smallest` to 1, and the
    logarithm of its aspect ratio is uniform between those of 3/4 and 4/3, as far as it fits into
    the image. [batch, height, width, channels] -> [batch, size, size, channels].
    """

    def __init__(self, size: int, *, smallest: float, seed: int | None = None) -> None:
        super().__init__()
        self.size, self.smallest = size, smallest
        self.generator = keras.random.SeedGenerator(seed)

    def call(self, images: Any, training: bool = True) -> Any:
        """Cropped; resized alone where not `training`."""
        ops, count = keras.ops, len(images)
        area = self._uniform((count, 1), self.smallest if training else 1.0, 1.0)
        # a crop of share a and ratio r has sides sqrt(a * r) and sqrt(a / r), both at most 1
        widest = ops.minimum(math.log(STRETCH), -ops.log(area))
        half = widest * self._uniform((count, 1), -0.5, 0.5)
        lengths = ops.sqrt(area) * ops.exp(ops.concatenate([half, -half], axis=1))
        starts = self._uniform((count, 2), 0.0, 1.0) * (1 - lengths)

        def resize(one: tuple[Any, Any, Any]) -> Any:
            image, start, length = one
            shape = (self.size, self.size, image.shape[-1])
            scale = self.size / (length * ops.convert_to_tensor(image.shape[:2], "float32"))
            move = -self.size * start / length
            return ops.image.scale_and_translate(image, shape, scale, move, (0, 1), "linear")

        return ops.vectorized_map(resize, (images, starts, lengths))

    def _uniform(self, shape: tuple[int, ...], low: float, high: float) -> Any:
        return keras.random.uniform(shape, low, high, seed=self.generator)


def make_erase(erase: float, *, seed: int, image_size: int) -> Augment | None:
    """(images, step) -> images of which a share `erase` has a gray rectangle; None for 0.

    As in Zhong et al. 2020, by Keras' layer: each side of the rectangle is 14% to 57% of the
    image's, so that it covers 2% to 33%.
    """
    if not erase:
        return None
    layer = keras.layers.RandomErasing((erase, erase), fill_value=GRAY, value_range=UNIT, seed=ANY)
    layer.build((None, image_size, image_size, 3))
    erased = as_function(layer)

    def augment(images: AnyArray, step: AnyArray) -> Array:
        return erased(images, key_at(step, seed=seed, stream=ERASE))

    return augment
