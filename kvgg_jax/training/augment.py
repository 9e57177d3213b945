"""Random changes to training images, one by one and in pairs, on the device, by Keras' own layers.

Pure functions of (seed, step): nothing to save, and a resumed run sees the same images. Hue stays
unless `color` is asked for, since classes such as coffee roasts differ by color.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from kvgg_jax.core.errors import ConfigError
from kvgg_jax.core.keras_gate import keras
from kvgg_jax.core.state import AnyArray, Batch
from kvgg_jax.training.step import Augment, Mix

LEVELS = ("none", "light", "strong", "randaugment")
ANY = 0  # a layer's seed, which is not used here; without one Keras draws it from Python's `random`
OPERATIONS = 2  # of RandAugment, per image
UNIT = (0.0, 1.0)
ALPHA = {"mixup": 0.2, "cutmix": 1.0}  # of the papers
STREAM = 2**31 - 1  # keeps the random numbers of mixing apart from those of augmentation


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
    chain = as_function(keras.Sequential([keras.Input((image_size, image_size, 3)), *layers]))

    def augment(images: AnyArray, step: AnyArray) -> Array:
        return chain(images, jax.random.fold_in(jax.random.key(seed), step)).clip(*UNIT)

    return augment


def as_function(layer: keras.layers.Layer) -> Callable[[Any, Array], Any]:
    """(input of the layer, key) -> its output in training; it is built, and has no weights.

    What it draws depends on the key alone, which replaces the state of its seed generators.
    """
    shapes = [variable.shape for variable in layer.non_trainable_variables]

    def function(inputs: Any, key: Array) -> Any:
        keys = jax.random.split(key, max(1, len(shapes)))
        seeds = [jax.random.bits(k, s, "uint32") for k, s in zip(keys, shapes, strict=False)]
        changed, _ = layer.stateless_call([], seeds, inputs, training=True)
        return changed

    return function


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

    def augment(images: AnyArray, step: AnyArray) -> Array:
        key = jax.random.fold_in(jax.random.key(seed), step)
        return jax.lax.map(one, (images, jax.random.split(key, (len(images), 1 + OPERATIONS))))

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


def make_mix(kind: str, alpha: float | None = None, *, seed: int, classes: int) -> Mix | None:
    """(batch of float images, step) -> batch with labels [batch, classes]; None for "none".

    `mixup` lays two images over each other (Zhang et al. 2018), `cutmix` puts a rectangle of one
    into the other (Yun et al. 2019). The share of the first is drawn from Beta(alpha, alpha) for
    each image; without `alpha` it is that of the paper. Real rows come before fillers, which are
    replaced by real ones before mixing, and keep their weight of 0.
    """
    if kind == "none":
        return None
    alpha, layers = ALPHA[kind] if alpha is None else alpha, keras.layers
    mixup = kind == "mixup"
    layer = layers.MixUp(alpha, seed=ANY) if mixup else layers.CutMix((alpha, alpha), seed=ANY)
    layer.build(None)
    mixed = as_function(layer)

    def mix(batch: Batch, step: AnyArray) -> Batch:
        rows = jnp.arange(len(batch.weight)) % jnp.maximum(jnp.sum(batch.weight > 0), 1)
        shares = jax.nn.one_hot(batch.labels, classes)
        stream = jax.random.fold_in(jax.random.key(seed), STREAM)
        with warnings.catch_warnings():  # MixUp asks for int64 row numbers, JAX gives int32
            warnings.filterwarnings("ignore", "Explicitly requested dtype int64")
            found = mixed(
                {"images": batch.images[rows], "labels": shares[rows]},
                jax.random.fold_in(stream, step),
            )
        return batch._replace(images=found["images"], labels=found["labels"])

    return mix
