"""What speaks for a class, layer by layer: gradients of its logit, as pure functions of arrays.

`make_*` returns a function to be jitted by its caller, as in `step`. None needs Keras.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import Array

from kvgg_jax.core.state import AnyArray
from kvgg_jax.core.tables.model import ModelConfig
from kvgg_jax.models.functional import Network
from kvgg_jax.models.registry import choose_backbone

Params = dict[str, AnyArray]
GradCamStep = Callable[..., tuple[Array, Array, Array]]


def cell_size(config: ModelConfig) -> int | None:
    """Pixels a side of the image for each value of Grad-CAM; None: they cover the whole image."""
    backbone = choose_backbone(config)
    return backbone.stride // backbone.pooling if backbone.stride else None


def make_grad_cam_step(config: ModelConfig, *, precision: str = "float32") -> GradCamStep:
    """(params, model_state, uint8 images) -> (probabilities [batch, classes], heat [batch, h, w],
    embeddings [batch, width]).

    `heat`, 0 or more, is Grad-CAM of each image's most probable class, or of the class whose index
    is a fourth argument, an int32 scalar. h and w are those of the last stage's feature maps before
    its pooling: each of them is weighted by the mean gradient of the logit with respect to it, and
    what speaks against the class is cut off at 0 (Selvaraju et al. 2017, "Grad-CAM", equations 1
    and 2). Of an odd h or w the pooling leaves out the last row or column; there it is 0.
    """
    network, window = Network(config, precision), choose_backbone(config).pooling

    def grad_cam(
        params: Params, model_state: Params, images: AnyArray, target: AnyArray | None = None
    ) -> tuple[Array, Array, Array]:
        weights = {**params, **model_state}
        *lower, maps = network.stage_maps(weights, images)

        def from_maps(maps: Array) -> tuple[Array, Array]:
            features = network.features(weights, (*lower, maps))
            return network.logits(weights, features), network.embedding(weights, features)

        logits, pull, embeddings = jax.vjp(from_maps, maps, has_aux=True)
        # an image's logits do not depend on the others, so one pull gives the gradients of all
        classes = jnp.argmax(logits, axis=-1) if target is None else target
        chosen = jax.nn.one_hot(classes, logits.shape[-1], dtype=logits.dtype)
        (gradients,) = pull(jnp.broadcast_to(chosen, logits.shape))
        importance = jnp.mean(gradients.astype(jnp.float32), axis=(1, 2), keepdims=True)
        heat = jax.nn.relu(jnp.sum(importance * maps.astype(jnp.float32), axis=-1))
        height, width = (side - side % window for side in heat.shape[1:])  # what the pooling takes
        seen = heat[:, :height, :width]
        heat = jnp.zeros_like(heat).at[:, :height, :width].set(seen)
        return jax.nn.softmax(logits), heat, embeddings

    return grad_cam


def make_gradient_step(
    config: ModelConfig, *, precision: str = "float32"
) -> Callable[[Params, Params, AnyArray, AnyArray], tuple[Array, Array]]:
    """(params, model_state, images, target) -> (target's logits [batch], their gradients).

    `images` are float32 [batch, size, size, 3] in [0, 1]; the gradients with respect to them have
    the same shape.
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
