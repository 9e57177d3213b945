"""Random changes to training pictures, on the device, by Keras' own layers.

A pure function of (seed, step): nothing to save, and a resumed run sees the same pictures.
Hue is left alone unless that is asked for, since classes such as coffee roasts differ by color.
"""

from __future__ import annotations

import jax
from jax import Array

from kvgg_jax.core.errors import ConfigError
from kvgg_jax.core.keras_gate import keras
from kvgg_jax.core.state import AnyArray
from kvgg_jax.training.augment.randaugment import make_randaugment
from kvgg_jax.training.augment.random_layers import ANY, as_function
from kvgg_jax.training.step import Augment

LEVELS = ("none", "light", "strong", "randaugment")


def _layers(level: str) -> list[keras.layers.Layer]:
    if level == "light":
        return [
            keras.layers.RandomFlip("horizontal", seed=ANY),
            keras.layers.RandomTranslation(0.05, 0.05, fill_mode="nearest", seed=ANY),
        ]
    return [
        keras.layers.RandomFlip("horizontal", seed=ANY),
        keras.layers.RandomRotation(0.08, fill_mode="nearest", seed=ANY),
        keras.layers.RandomTranslation(0.1, 0.1, fill_mode="nearest", seed=ANY),
        keras.layers.RandomZoom(0.15, fill_mode="nearest", seed=ANY),
        keras.layers.RandomBrightness(0.1, value_range=(0.0, 1.0), seed=ANY),
        keras.layers.RandomContrast(0.15, value_range=(0.0, 1.0), seed=ANY),
    ]


def _color_layers(level: str) -> list[keras.layers.Layer]:
    """Hue by up to 7 (18) degrees either way, saturation times 0.8 to 1.2 (0.67 to 1.5)."""
    hue, saturation = (0.04, 0.05) if level == "light" else (0.1, 0.1)
    unit = (0.0, 1.0)
    return [
        keras.layers.RandomHue(hue, value_range=unit, seed=ANY),  # of half a turn
        keras.layers.RandomSaturation(
            (0.5 - saturation, 0.5 + saturation), value_range=unit, seed=ANY
        ),
    ]


def make_augment(level: str, *, seed: int, image_size: int, color: bool = False) -> Augment | None:
    """(images, step) -> images, float32 [batch, size, size, 3] in [0, 1]; None for "none".

    `color` adds changes of hue and saturation, and others of color to `randaugment`.
    Raises ConfigError for a level that is not in `LEVELS`.
    """
    if level == "none":
        return None
    if level not in LEVELS:
        raise ConfigError(f"augment {level!r}: use one of {', '.join(LEVELS)}.")
    if level == "randaugment":
        return make_randaugment(seed=seed, image_size=image_size, color=color)
    layers = [*_layers(level), *(_color_layers(level) if color else [])]
    chain = as_function(keras.Sequential([keras.Input((image_size, image_size, 3)), *layers]))

    def augment(images: AnyArray, step: AnyArray) -> Array:
        return chain(images, jax.random.fold_in(jax.random.key(seed), step)).clip(0.0, 1.0)

    return augment
