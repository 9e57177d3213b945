"""Keras' random layers as pure functions: what they draw depends on a key alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
from jax import Array

from kvgg_jax.core.keras_gate import keras

ANY = 0  # a layer's seed, which has no say here; without one Keras draws it from Python's `random`


def as_function(layer: keras.Layer) -> Callable[[Any, Array], Any]:
    """(what the layer takes, key) -> what it gives in training; it is built, and has no weights.

    The key stands in for the state of its seed generators: there is nothing to save.
    """
    shapes = [variable.shape for variable in layer.non_trainable_variables]

    def function(given: Any, key: Array) -> Any:
        keys = jax.random.split(key, max(1, len(shapes)))
        seeds = [jax.random.bits(k, s, "uint32") for k, s in zip(keys, shapes, strict=False)]
        changed, _ = layer.stateless_call([], seeds, given, training=True)
        return changed

    return function
