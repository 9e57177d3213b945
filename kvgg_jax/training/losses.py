"""The losses that `optim.loss` names; evaluation always measures `cross_entropy`.

To add a loss, enter it in `LOSSES` and its name in `OptimConfig.loss`.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import Array

from kvgg_jax.core.errors import UsageError
from kvgg_jax.core.keras_gate import keras
from kvgg_jax.core.state import AnyArray
from kvgg_jax.core.tables.optim import OptimConfig

Loss = Callable[[AnyArray, AnyArray], Array]
"""(labels, logits [batch, classes]) -> nats [batch]."""


def cross_entropy(labels: AnyArray, logits: AnyArray) -> Array:
    """Nats [batch]; labels are int32 [batch], or shares, float32 [batch, classes]."""
    if labels.ndim == 2:
        return keras.ops.categorical_crossentropy(labels, logits, from_logits=True)
    return keras.ops.sparse_categorical_crossentropy(labels, logits, from_logits=True)


def make_smoothed(smoothing: float) -> Loss:
    """Cross-entropy to labels of which each of K classes gets the share `smoothing` / K.

    Szegedy et al. 2016, section 7, as in Keras.
    """

    def smoothed(labels: AnyArray, logits: AnyArray) -> Array:
        return keras.losses.categorical_crossentropy(
            _shares(labels, logits), logits, from_logits=True, label_smoothing=smoothing
        )

    return smoothed if smoothing else cross_entropy


def make_focal(gamma: float) -> Loss:
    """-(1 - p) ** gamma * log p, where p is the probability of the label (Lin et al. 2017).

    A mixed label has a term per class, by its shares, as in Keras.
    """

    def focal(labels: AnyArray, logits: AnyArray) -> Array:
        log_p = jax.nn.log_softmax(logits)
        # of a probability of 1, a root has no gradient
        others = jnp.maximum(-jnp.expm1(log_p), 1e-7)
        return -jnp.sum(_shares(labels, logits) * others**gamma * log_p, axis=-1)

    return focal


def _shares(labels: AnyArray, logits: AnyArray) -> AnyArray:
    return labels if labels.ndim == 2 else jax.nn.one_hot(labels, logits.shape[-1])


LOSSES: dict[str, Callable[[OptimConfig], Loss]] = {
    "cross-entropy": lambda config: make_smoothed(config.label_smoothing),
    "focal": lambda config: make_focal(config.focal_gamma),
}


def make_loss(
    config: OptimConfig, class_weights: AnyArray | None = None, *, own: Loss | None = None
) -> Loss:
    """The loss of `config`, or the caller's `own`; an image counts `class_weights[label]` times.

    A mixed label is weighted by its shares; the mean is over images, as in Keras.
    """
    loss = _per_image(own) if own else LOSSES[config.loss](config)
    if class_weights is None:
        return loss
    weights = jnp.asarray(class_weights)

    def weighted(labels: AnyArray, logits: AnyArray) -> Array:
        counts = jnp.dot(labels, weights) if labels.ndim == 2 else weights[labels]
        return counts * loss(labels, logits)

    return weighted


def _per_image(loss: Loss) -> Loss:
    """`loss`, which raises UsageError where it is not one number per image."""

    def checked(labels: AnyArray, logits: AnyArray) -> Array:
        losses, expected = loss(labels, logits), logits.shape[:1]
        if jnp.shape(losses) != expected:
            raise UsageError(
                f"`loss` must return a number per photo, of shape {expected}, "
                f"not {jnp.shape(losses)}: leave out the mean."
            )
        return losses

    return checked
