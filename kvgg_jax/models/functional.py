"""The forward pass of a trained network as plain functions of its weights, without Keras.

`model.vgg` builds the same network for training; importing Keras and building it would take longer
than an answer. `tests/test_forward.py` holds the two together.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax

from kvgg_jax.core.config import ModelConfig, parse_head
from kvgg_jax.core.state import AnyArray
from kvgg_jax.models.cost import BLOCKS, describe
from kvgg_jax.models.kernels.conv import convolve
from kvgg_jax.models.kernels.pool import max_pool2x2

CAFFE_MEANS = (103.939, 116.779, 123.68)  # blue, green, red, of ImageNet in 0..255
EPSILON = 1e-3  # of Keras' batch normalisation
PredictStep = Callable[[dict[str, AnyArray], dict[str, AnyArray], AnyArray], tuple[Array, Array]]


def normalise(images: AnyArray) -> Array:
    """uint8 0..255 -> float32 in [0, 1], on the device: a quarter of the bytes travel.

    Features, which are floats already, stay as they are.
    """
    values = jnp.asarray(images, jnp.float32)
    return values / 255.0 if images.dtype == jnp.uint8 else values


def caffe(images: AnyArray) -> Array:
    """RGB in [0, 1] -> BGR in 0..255 less ImageNet's means, [batch, height, width, 3].

    As `keras.applications.vgg16.preprocess_input`, whose weights come from Caffe.
    """
    return jnp.asarray(images)[..., ::-1] * 255.0 - jnp.asarray(CAFFE_MEANS, jnp.float32)


def make_predict_step(config: ModelConfig, *, precision: str = "float32") -> PredictStep:
    """(params, model_state, uint8 images) -> (logits, probabilities), each [batch, classes]."""

    def predict_step(
        params: dict[str, AnyArray], model_state: dict[str, AnyArray], images: AnyArray
    ) -> tuple[Array, Array]:
        logits = network(config, {**params, **model_state}, images, precision)
        return logits, jax.nn.softmax(logits)

    return predict_step


def network(
    config: ModelConfig, weights: dict[str, AnyArray], images: AnyArray, precision: str
) -> Array:
    """Images [batch, size, size, 3], uint8 or floats in [0, 1] -> logits [batch, classes]."""
    return head(config, weights, backbone(config, weights, images, precision))


def backbone(
    config: ModelConfig, weights: dict[str, AnyArray], images: AnyArray, precision: str
) -> Array:
    """Images -> the features of the last block, [batch, size // 32, size // 32, channels]."""
    return max_pool2x2(last_features(config, weights, images, precision))


def last_features(
    config: ModelConfig, weights: dict[str, AnyArray], images: AnyArray, precision: str
) -> Array:
    """The features of the last block before its pooling: twice as fine."""
    x = normalise(images)
    x = caffe(x) if config.preprocessing == "caffe" else x
    x = x.astype(jnp.bfloat16 if precision == "bfloat16" else jnp.float32)
    for b, block in enumerate(BLOCKS[config.arch], 1):
        x = max_pool2x2(x) if b > 1 else x
        for c in range(1, len(block) + 1):
            x = _convolution(x, weights, f"block{b}_conv{c}", batch_norm=config.batch_norm)
    return x


def head(config: ModelConfig, weights: dict[str, AnyArray], features: Array) -> Array:
    """The features of the last block -> float32 logits [batch, classes]."""
    sizes = parse_head(config.head)
    x = jnp.mean(features, axis=(1, 2)) if sizes is None else features.reshape(len(features), -1)
    for i in range(1, len(sizes or ()) + 1):
        x = jax.nn.relu(_dense(x, weights, f"fc{i}"))
    return _dense(x.astype(jnp.float32), weights, "predictions")


def _convolution(x: Array, weights: dict[str, Any], name: str, *, batch_norm: bool) -> Array:
    x = convolve(x, jnp.asarray(weights[f"{name}/kernel"], x.dtype))
    if not batch_norm:
        return jax.nn.relu(x + jnp.asarray(weights[f"{name}/bias"], x.dtype))
    gamma, beta, mean, variance = (
        weights[f"{name}_bn/{part}"] for part in ("gamma", "beta", "moving_mean", "moving_variance")
    )
    scale = lax.rsqrt(variance + EPSILON) * gamma
    normed = x.astype(jnp.float32) * scale + (beta - mean * scale)
    return jax.nn.relu(normed.astype(x.dtype))


def _dense(x: Array, weights: dict[str, Any], name: str) -> Array:
    kernel, bias = (jnp.asarray(weights[f"{name}/{part}"], x.dtype) for part in ("kernel", "bias"))
    return x @ kernel + bias


def weight_shapes(
    config: ModelConfig, *, classes: int, image_size: int
) -> tuple[dict[str, Any], dict[str, Any]]:
    """(params, model_state) of the network as shapes and types, named as Keras names them."""
    params, state = dict[str, Any](), dict[str, Any]()
    frozen = tuple(f"block{b}_" for b in range(1, config.frozen_blocks + 1))
    before = 3
    for layer in describe(config, classes=classes, image_size=image_size):
        after = layer.output[-1]
        if layer.params:
            normed = config.batch_norm and not layer.is_head
            part_of = state if layer.name.startswith(frozen) else params
            part_of[f"{layer.name}/kernel"] = (*(() if layer.is_head else (3, 3)), before, after)
            for part in ("gamma", "beta") if normed else ("bias",):
                part_of[f"{layer.name}{'_bn' * normed}/{part}"] = (after,)
            for part in ("moving_mean", "moving_variance") if normed else ():
                state[f"{layer.name}_bn/{part}"] = (after,)
        flat = layer.is_head or layer.name == "block5_pool"
        before = math.prod(layer.output) if flat else after
    shapes = {name: jax.ShapeDtypeStruct(shape, jnp.float32) for name, shape in params.items()}
    states = {name: jax.ShapeDtypeStruct(shape, jnp.float32) for name, shape in state.items()}
    return shapes, states | dict(_dropout_seeds(config))


def _dropout_seeds(config: ModelConfig) -> Iterator[tuple[str, jax.ShapeDtypeStruct]]:
    if config.dropout:
        for i in range(1, max(len(parse_head(config.head) or ()), 1) + 1):
            name = f"seed_generator_{i}/seed_generator_state"
            yield name, jax.ShapeDtypeStruct((2,), jnp.uint32)
