"""The loss that training minimizes; evaluation always measures `cross_entropy`."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import Array

from kvgg_jax.core.keras_gate import keras
from kvgg_jax.core.state import AnyArray

Loss = Callable[[AnyArray, AnyArray], Array]
"""(labels, logits [batch, classes]) -> nats [batch]."""


def cross_entropy(labels: AnyArray, logits: AnyArray) -> Array:
    """Nats [batch]; labels are int32 [batch], or shares, float32 [batch, classes]."""
    if labels.ndim == 2:
        return keras.ops.categorical_crossentropy(labels, logits, from_logits=True)
    return keras.ops.sparse_categorical_crossentropy(labels, logits, from_logits=True)


def make_loss(smoothing: float = 0.0, class_weights: AnyArray | None = None) -> Loss:
    """Cross-entropy to labels of which each of K classes gets the share `smoothing` / K.

    Szegedy et al. 2016, section 7, as in Keras. An image's loss counts `class_weights[label]`
    times, a mixed label by its shares; the mean is over images, as in Keras.
    """

    def smoothed(labels: AnyArray, logits: AnyArray) -> Array:
        shares = labels if labels.ndim == 2 else jax.nn.one_hot(labels, logits.shape[-1])
        return keras.losses.categorical_crossentropy(
            shares, logits, from_logits=True, label_smoothing=smoothing
        )

    loss = smoothed if smoothing else cross_entropy
    if class_weights is None:
        return loss
    weights = jnp.asarray(class_weights)

    def weighted(labels: AnyArray, logits: AnyArray) -> Array:
        counts = jnp.dot(labels, weights) if labels.ndim == 2 else weights[labels]
        return counts * loss(labels, logits)

    return weighted
