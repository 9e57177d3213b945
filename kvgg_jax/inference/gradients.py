"""What speaks for a class, layer by layer: gradients of its logit, as pure functions of arrays.

`make_*` returns a function to be jitted by its caller, as in `step`. None needs Keras.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import Array

from kvgg_jax.core.config import ModelConfig
from kvgg_jax.core.state import AnyArray
from kvgg_jax.models.functional import Network, PredictStep
from kvgg_jax.models.registry import BACKBONES

Params = dict[str, AnyArray]


def cell_size(config: ModelConfig) -> int:
    """Pixels a side of the image for each value of Grad-CAM."""
    backbone = BACKBONES[config.arch]
    return backbone.stride // backbone.pooling


def make_grad_cam_step(
    config: ModelConfig, *, precision: str = "float32"
) -> Callable[[Params, Params, AnyArray, AnyArray], Array]:
    """(params, model_state, uint8 images, target) -> Grad-CAM [batch, h, w], 0 or more.

    `target` is the index of a class, an int32 scalar. h and w are those of the last stage's
    feature maps before its pooling: each of them is weighted by the mean gradient of the
    target's logit with respect to it, and what speaks against the class is cut off at 0
    (Selvaraju et al. 2017, "Grad-CAM", equations 1 and 2). Of an odd h or w the pooling leaves out
    the last row or column; the head does not see it, so it is 0.
    """

    def grad_cam(params: Params, model_state: Params, images: AnyArray, target: AnyArray) -> Array:
        weights = {**params, **model_state}
        return _logits_and_heat(config, weights, images, precision, lambda _: target)[1]

    return grad_cam


def make_explained_step(config: ModelConfig, *, precision: str = "float32") -> PredictStep:
    """(params, model_state, uint8 images) -> (probabilities [batch, classes], heat [batch, h, w]).

    `heat` is the Grad-CAM of `make_grad_cam_step` for each picture's most probable class. One pass
    through the convolutions gives both.
    """

    def explained_step(
        params: Params, model_state: Params, images: AnyArray
    ) -> tuple[Array, Array]:
        weights = {**params, **model_state}
        logits, heat = _logits_and_heat(
            config, weights, images, precision, lambda logits: jnp.argmax(logits, axis=-1)
        )
        return jax.nn.softmax(logits), heat

    return explained_step


def _logits_and_heat(
    config: ModelConfig,
    weights: Params,
    images: AnyArray,
    precision: str,
    target: Callable[[Array], AnyArray],
) -> tuple[Array, Array]:
    """`target` says of the logits [batch, classes] which class: one for all, or [batch]."""
    network = Network(config, precision)
    maps = network.feature_maps(weights, images)
    logits, pull = jax.vjp(lambda x: network.head(weights, network.features(weights, x)), maps)
    # a picture's logits do not depend on the others, so that one pull gives the gradients of all
    chosen = jax.nn.one_hot(target(logits), logits.shape[-1], dtype=logits.dtype)
    (gradients,) = pull(jnp.broadcast_to(chosen, logits.shape))
    importance = jnp.mean(gradients.astype(jnp.float32), axis=(1, 2), keepdims=True)
    heat = jax.nn.relu(jnp.sum(importance * maps.astype(jnp.float32), axis=-1))
    window = BACKBONES[config.arch].pooling
    height, width = (side - side % window for side in heat.shape[1:])  # what the pooling takes
    return logits, jnp.zeros_like(heat).at[:, :height, :width].set(heat[:, :height, :width])


def make_gradient_step(
    config: ModelConfig, *, precision: str = "float32"
) -> Callable[[Params, Params, AnyArray, AnyArray], tuple[Array, Array]]:
    """(params, model_state, images, target) -> (target's logits [batch], their gradients).

    `images` are float32 [batch, size, size, 3] in [0, 1], and the gradients are with respect to
    them, of the same shape.
    """
    network = Network(config, precision)

    def gradient(
        params: Params, model_state: Params, images: AnyArray, target: AnyArray
    ) -> tuple[Array, Array]:
        def logit(images: AnyArray) -> tuple[Array, Array]:
            logits = network({**params, **model_state}, images)[:, target]
            return jnp.sum(logits), logits

        gradients, logits = jax.grad(logit, has_aux=True)(images)
        return logits, gradients

    return gradient
