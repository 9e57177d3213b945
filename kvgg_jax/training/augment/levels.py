"""The levels of `data.augment`, by Keras' own layers.

Hue stays unless `color` is asked for, since classes such as coffee roasts differ by color.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import Array

from kvgg_jax.core.errors import ConfigError
from kvgg_jax.core.keras_gate import keras
from kvgg_jax.core.state import AnyArray
from kvgg_jax.training.augment.layers import ANY, UNIT, apart, as_function
from kvgg_jax.training.augment.randaugment import make_randaugment
from kvgg_jax.training.step import Augment

LEVELS = ("none", "light", "strong", "randaugment")


def make_augment(level: str, *, seed: int, image_size: int, color: bool = False) -> Augment | None:
    """(images, step) -> images, float32 [batch, size, size, 3] in [0, 1]; None for "none".

    `color` adds changes of hue and saturation, and more color operations to `randaugment`.
    Raises ConfigError for a level that is not in `LEVELS`.
    """
    if level == "none":
        return None
    if level not in LEVELS:
        raise ConfigError(f"augment {level!r}: use one of {', '.join(LEVELS)}.")
    if level == "randaugment":
        return make_randaugment(seed=seed, image_size=image_size, color=color)
    layers = [*_layers(level), *(_color_layers(level) if color else [])]
    for layer in layers:
        layer.build((None, image_size, image_size, 3))
    chain = as_function(*layers)

    def augment(images: AnyArray, step: AnyArray) -> Array:
        moved = chain(images, jax.random.fold_in(jax.random.key(seed), step))
        return jnp.clip(apart(moved), *UNIT)

    return augment


def _layers(level: str) -> list[keras.layers.Layer]:
    layers = keras.layers
    if level == "light":
        return [
            layers.RandomFlip("horizontal", seed=ANY),
            layers.RandomTranslation(0.05, 0.05, fill_mode="nearest", seed=ANY),
        ]
    return [
        layers.RandomFlip("horizontal", seed=ANY),
        layers.RandomRotation(0.08, fill_mode="nearest", seed=ANY),
        layers.RandomTranslation(0.1, 0.1, fill_mode="nearest", seed=ANY),
        layers.RandomZoom(0.15, fill_mode="nearest", seed=ANY),
        layers.RandomBrightness(0.1, value_range=UNIT, seed=ANY),
        layers.RandomContrast(0.15, value_range=UNIT, seed=ANY),
    ]


def _color_layers(level: str) -> list[keras.layers.Layer]:
    """Hue by up to 7 (18) degrees either way, saturation times 0.8 to 1.2 (0.67 to 1.5)."""
    hue, low, high = (0.04, 0.45, 0.55) if level == "light" else (0.1, 0.4, 0.6)
    return [
        keras.layers.RandomHue(hue, value_range=UNIT, seed=ANY),  # of half a turn
        keras.layers.RandomSaturation((low, high), value_range=UNIT, seed=ANY),
    ]
