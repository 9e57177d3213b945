"""Keras' random layers as pure functions.

There is nothing to save, and a resumed run sees the same images.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from kvgg_jax.core.keras_gate import keras
from kvgg_jax.core.state import AnyArray
from kvgg_jax.training.step import Augment

ANY = 0  # a layer's seed, which is not used here; without one Keras draws it from Python's `random`
UNIT = (0.0, 1.0)
LAST = 2**31 - 1
MIX, CROP, ERASE = LAST, LAST - 1, LAST - 2  # streams of random numbers, apart from the levels'


def as_function(*layers: keras.layers.Layer) -> Callable[[Any, Array], Any]:
    """(input of the first layer, key) -> output of the last one in training; all are built, and
    have no weights.

    What they draw depends on the key alone, which replaces the state of their seed generators.
    """
    shapes = [[variable.shape for variable in one.non_trainable_variables] for one in layers]
    count = sum(map(len, shapes))

    def function(inputs: Any, key: Array) -> Any:
        keys = iter(jax.random.split(key, max(1, count)))
        for layer, of in zip(layers, shapes, strict=True):
            seeds = [jax.random.bits(next(keys), shape, "uint32") for shape in of]
            inputs, _ = layer.stateless_call([], seeds, inputs, training=True)
            inputs = inputs if layer is layers[-1] else apart(inputs)
        return inputs

    return function


def apart(images: AnyArray) -> AnyArray:
    """`images`, of which XLA on CPUs computes each pixel once.

    It would fuse one change with the next, and compute the first anew for each of the four pixels
    that the second reads for one: three moves of a photo took four times as long. It keeps what a
    condition decides apart; this one asks for a first pixel that is no number.
    """
    if jax.default_backend() != "cpu":
        return images
    first = images[(0,) * images.ndim]
    return jax.lax.cond(jnp.isnan(first), lambda x: x * jnp.nan, lambda x: x, images)


def key_at(step: AnyArray, *, seed: int, stream: int) -> Array:
    """The key of a step in one of the streams."""
    return jax.random.fold_in(jax.random.fold_in(jax.random.key(seed), stream), step)


def in_turn(*changes: Augment | None) -> Augment | None:
    """All of `changes` as one, the first first; None where there are none."""
    there = [change for change in changes if change is not None]

    def augment(images: AnyArray, step: AnyArray) -> AnyArray:
        for change in there:
            images = change(images, step)
        return images

    return augment if there else None
