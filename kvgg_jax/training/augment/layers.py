"""Keras' random layers as pure functions.

There is nothing to save, and a resumed run sees the same images.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
from jax import Array

from kvgg_jax.core.keras_gate import keras
from kvgg_jax.core.state import AnyArray
from kvgg_jax.training.step import Augment

ANY = 0  # a layer's seed, which is not used here; without one Keras draws it from Python's `random`
UNIT = (0.0, 1.0)
LAST = 2**31 - 1
MIX, CROP, ERASE = LAST, LAST - 1, LAST - 2  # streams of random numbers, apart from the levels'


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
