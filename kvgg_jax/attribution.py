"""What speaks for a class, layer by layer: gradients of its logit, as pure functions of arrays.

`make_*` returns a function to be jitted by its caller, as in `step`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from kvgg_jax.forward import normalise
from kvgg_jax.keras_gate import keras
from kvgg_jax.state import AnyArray
from kvgg_jax.step import variable_names

Params = Mapping[str, AnyArray]


def make_grad_cam_step(
    model: keras.Model,
) -> Callable[[Params, Params, AnyArray, AnyArray], Array]:
    """(params, model_state, uint8 images, target) -> Grad-CAM [batch, h, w], 0 or more.

    `target` is the index of a class, an int32 scalar. h and w are those of the last block's
    features before its pooling: each map of features is weighted by the mean gradient of the
    target's logit with respect to it, and what speaks against the class is cut off at 0
    (Selvaraju et al. 2017, "Grad-CAM", equations 1 and 2).
    """
    below, above = _split(model)

    def grad_cam(params: Params, model_state: Params, images: AnyArray, target: AnyArray) -> Array:
        values = {**params, **model_state}
        features = _call(below, values, normalise(images))

        def logit(features: AnyArray) -> AnyArray:
            return jnp.sum(_call(above, values, features)[:, target])

        gradients = jax.grad(logit)(features).astype(jnp.float32)
        importance = jnp.mean(gradients, axis=(1, 2), keepdims=True)
        return jax.nn.relu(jnp.sum(importance * features.astype(jnp.float32), axis=-1))

    return grad_cam


def make_gradient_step(
    model: keras.Model,
) -> Callable[[Params, Params, AnyArray, AnyArray], tuple[Array, Array]]:
    """(params, model_state, images, target) -> (target's logits [batch], their gradients).

    `images` are float32 [batch, size, size, 3] in [0, 1], and the gradients are with respect to
    them, of the same shape.
    """

    def gradient(
        params: Params, model_state: Params, images: AnyArray, target: AnyArray
    ) -> tuple[Array, Array]:
        def logit(images: AnyArray) -> tuple[AnyArray, AnyArray]:
            logits = _call(model, {**params, **model_state}, images)[:, target]
            return jnp.sum(logits), logits  # a picture's logit does not depend on the others

        gradients, logits = jax.grad(logit, has_aux=True)(images)
        return logits, gradients

    return gradient


def _split(model: keras.Model) -> tuple[keras.Model, keras.Model]:
    """The model cut in two before its last pooling, where its features are at their finest."""
    pools = [layer for layer in model.layers if isinstance(layer, keras.layers.MaxPooling2D)]
    features = pools[-1].input
    return keras.Model(model.input, features), keras.Model(features, model.output)


def _call(part: keras.Model, values: Params, inputs: AnyArray) -> Any:
    params, state = (
        [values[name] for name in variable_names(variables)]
        for variables in (part.trainable_variables, part.non_trainable_variables)
    )
    return part.stateless_call(params, state, inputs, training=False)[0]
