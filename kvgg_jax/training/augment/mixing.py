"""Mixing images and their labels in pairs, by Keras' own layers."""

from __future__ import annotations

import warnings

import jax
import jax.numpy as jnp

from kvgg_jax.core.keras_gate import keras
from kvgg_jax.core.state import AnyArray, Batch
from kvgg_jax.training.augment.layers import ANY, MIX, as_function, key_at
from kvgg_jax.training.step import Mix

ALPHA = {"mixup": 0.2, "cutmix": 1.0}  # of the papers


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
        with warnings.catch_warnings():  # MixUp asks for int64 row numbers, JAX gives int32
            warnings.filterwarnings("ignore", "Explicitly requested dtype int64")
            found = mixed(
                {"images": batch.images[rows], "labels": shares[rows]},
                key_at(step, seed=seed, stream=MIX),
            )
        return batch._replace(images=found["images"], labels=found["labels"])

    return mix
