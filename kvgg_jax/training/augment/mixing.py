"""Pictures mixed in pairs, and their labels in the same shares, by Keras' own layers.

A pure function of (seed, step), as augmentation is. Only real pictures are mixed: fillers are
replaced by real ones of the batch first, and keep their weight of 0.
"""

from __future__ import annotations

import warnings

import jax
import jax.numpy as jnp

from kvgg_jax.core.keras_gate import keras
from kvgg_jax.core.state import AnyArray, Batch
from kvgg_jax.training.augment.random_layers import ANY, as_function
from kvgg_jax.training.step import Mix

ALPHA = {"mixup": 0.2, "cutmix": 1.0}  # of the papers
STREAM = 2**31 - 1  # sets what is drawn here apart from what augmentation draws


def make_mix(kind: str, alpha: float | None = None, *, seed: int, classes: int) -> Mix | None:
    """(batch of float images, step) -> batch with labels [batch, classes]; None for "none".

    `mixup` lays two pictures over each other (Zhang et al. 2018), `cutmix` puts a rectangle of one
    into the other (Yun et al. 2019). The share of the first is drawn from Beta(alpha, alpha) for
    each picture; without `alpha` it is that of the paper. Real rows come before fillers.
    """
    if kind == "none":
        return None
    alpha = ALPHA[kind] if alpha is None else alpha
    layers = keras.layers
    layer = (
        layers.MixUp(alpha, seed=ANY)
        if kind == "mixup"
        else layers.CutMix((alpha, alpha), seed=ANY)
    )
    layer.build(None)
    mixed = as_function(layer)

    def mix(batch: Batch, step: AnyArray) -> Batch:
        count = len(batch.weight)
        rows = jnp.arange(count) % jnp.maximum(jnp.sum(batch.weight > 0), 1)
        shares = jax.nn.one_hot(batch.labels, classes)
        given = {"images": batch.images[rows], "labels": shares[rows]}
        stream = jax.random.fold_in(jax.random.key(seed), STREAM)
        with warnings.catch_warnings():  # MixUp asks for int64 row numbers, JAX gives int32
            warnings.filterwarnings("ignore", "Explicitly requested dtype int64")
            found = mixed(given, jax.random.fold_in(stream, step))
        return batch._replace(images=found["images"], labels=found["labels"])

    return mix
