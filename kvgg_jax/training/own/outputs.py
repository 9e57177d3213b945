"""What a network of the caller's own gives: it must be logits, or the loss would be another one."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from numpy.typing import NDArray

from kvgg_jax.core.errors import UsageError
from kvgg_jax.core.keras_gate import keras
from kvgg_jax.training.own.batches import kind

SQUASHED = ("softmax", "sigmoid", "log_softmax")


def count_classes(model: keras.Model, name: str, inputs: NDArray[Any]) -> int:
    """How many classes the logits are of that `model` gives for the `inputs` of the source `name`.

    A model without weights is built for them. Raises UsageError where it is no model, does not take
    them, or gives something else than float32 [batch, classes].
    """
    if not isinstance(model, keras.Model):
        raise UsageError(f"`model` must be a model of Keras, not {type(model).__name__}.")
    given = jax.ShapeDtypeStruct(inputs.shape, jnp.float32)
    try:
        if not model.built:
            model(jnp.zeros(given.shape))
        weights = [
            [variable.value for variable in part]
            for part in (model.trainable_variables, model.non_trainable_variables)
        ]
        out, _ = jax.eval_shape(model.stateless_call, *weights, given)
    except (TypeError, ValueError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise UsageError(f"The model does not take `{name}`, {kind(inputs)}: {reason}") from error
    shape = getattr(out, "shape", None)
    if shape is None or len(shape) != 2 or shape[0] != len(inputs) or shape[1] < 2:
        found = type(out).__name__ if shape is None else list(shape)
        raise UsageError(
            f"The model gives {found} for {len(inputs)} inputs, expected logits [batch, classes] "
            "of 2 classes or more."
        )
    if out.dtype != jnp.float32:
        raise UsageError(
            f'The logits are {out.dtype}: give the last layer of the model dtype="float32".'
        )
    if not model.trainable_variables:
        raise UsageError("The model has no variable that can be trained.")
    if activation := _squashes(model):
        raise UsageError(
            f"The model ends with {activation}; fit needs logits: leave that activation out."
        )
    return int(shape[1])


def _squashes(layer: keras.Layer) -> str | None:
    """The name of an activation after which outputs are no logits."""
    while getattr(layer, "layers", None):
        layer = layer.layers[-1]
    if isinstance(layer, keras.layers.Softmax):
        return "softmax"
    name = getattr(getattr(layer, "activation", None), "__name__", None)
    return name if name in SQUASHED else None
