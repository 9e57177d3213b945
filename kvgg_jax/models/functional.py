"""The forward pass of a trained network as plain functions of its weights.

`build` makes the same network for training; to import Keras and build it would take longer than a
prediction. Only a backbone that Keras alone has is computed by Keras.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax

from kvgg_jax.core.state import AnyArray
from kvgg_jax.core.tables.model import ModelConfig
from kvgg_jax.models import backbone
from kvgg_jax.models.cost import describe
from kvgg_jax.models.kernels.conv import conv3x3
from kvgg_jax.models.kernels.relu_pool import max_pool2x2
from kvgg_jax.models.preprocess import caffe, normalize
from kvgg_jax.models.registry import choose_network, is_frozen

EPSILON = 1e-3  # of Keras' batch normalization
STANDARD_EPSILON = 1e-7  # of standardization, in float32
MOVING = ("moving_mean", "moving_variance")
Arrays = dict[str, AnyArray]
PredictStep = Callable[[Arrays, Arrays, AnyArray], tuple[Array, Array]]
EmbedStep = Callable[[Arrays, Arrays, AnyArray], tuple[Array, Array]]


def make_predict_step(config: ModelConfig, *, precision: str = "float32") -> PredictStep:
    """(params, model_state, uint8 images) -> (logits, probabilities), each [batch, classes]."""
    network = Network(config, precision)

    def predict_step(params: Arrays, model_state: Arrays, images: AnyArray) -> tuple[Array, Array]:
        logits = network({**params, **model_state}, images)
        return logits, jax.nn.softmax(logits)

    return predict_step


def make_embed_step(config: ModelConfig, *, precision: str = "float32") -> EmbedStep:
    """(params, model_state, uint8 images) -> (embeddings [batch, width], probabilities [batch,
    classes]). An embedding is what the last layer takes, in float32."""
    network = Network(config, precision)

    def embed_step(params: Arrays, model_state: Arrays, images: AnyArray) -> tuple[Array, Array]:
        weights = {**params, **model_state}
        features = network.features(weights, network.stage_maps(weights, images))
        embeddings = network.embedding(weights, features)
        return embeddings, jax.nn.softmax(network.logits(weights, features))

    return embed_step


@dataclass(frozen=True, slots=True)
class Network:
    """A network as functions of its weights, by Keras' names, and of arrays."""

    config: ModelConfig
    precision: str = "float32"

    def __call__(self, weights: Arrays, images: AnyArray) -> Array:
        """Images [batch, size, size, 3], uint8 or floats in [0, 1] -> logits [batch, classes]."""
        return self.logits(weights, self.features(weights, self.stage_maps(weights, images)))

    def stage_maps(self, weights: Arrays, images: AnyArray) -> tuple[Array, ...]:
        """Images -> the maps of each stage, [batch, height, width, channels]."""
        x = normalize(images)
        x = caffe(x) if self.config.preprocessing == "caffe" else x
        return self._network.backbone.stage_maps(self._layers(weights), x)

    def features(self, weights: Arrays, maps: Sequence[Array]) -> Array:
        """Those maps -> what the trained part of the head takes."""
        return self._network.features(self._layers(weights), maps)

    def logits(self, weights: Arrays, features: Array) -> Array:
        """Features -> float32 logits [batch, classes]."""
        return self._network.head.logits(self._layers(weights), features)

    def embedding(self, weights: Arrays, features: Array) -> Array:
        """Features -> what the last layer takes: float32 [batch, width]."""
        layers = _ButLast(self.config, weights, self.precision)
        return self._network.head.logits(layers, features)

    def _layers(self, weights: Arrays) -> _Computed:
        return _Computed(self.config, weights, self.precision)

    @property
    def _network(self) -> backbone.Network:
        return choose_network(self.config)


class _Computed:
    """Layers whose inputs and outputs are arrays, with a batch."""

    def __init__(self, config: ModelConfig, weights: Arrays, precision: str) -> None:
        self._config, self._weights, self._precision = config, weights, precision

    def network(self, x: Array, name: str) -> tuple[Array, ...]:
        from kvgg_jax.models.from_keras.networks import connected  # needs Keras

        network = connected(name, image_size=x.shape[1], precision=self._precision)
        return network.compute(self._weights, x)

    def conv(self, x: Array, channels: int, name: str) -> Array:
        x = x.astype(jnp.bfloat16 if self._precision == "bfloat16" else jnp.float32)
        x = conv3x3(x, jnp.asarray(self._weights[f"{name}/kernel"], x.dtype))
        if not self._config.batch_norm:
            return jax.nn.relu(x + jnp.asarray(self._weights[f"{name}/bias"], x.dtype))
        gamma, beta, mean, variance = (
            self._weights[f"{name}_bn/{part}"]
            for part in ("gamma", "beta", "moving_mean", "moving_variance")
        )
        scale = lax.rsqrt(variance + EPSILON) * gamma
        normed = x.astype(jnp.float32) * scale + (beta - mean * scale)
        return jax.nn.relu(normed.astype(x.dtype))

    def pool(self, x: Array, name: str) -> Array:
        return max_pool2x2(x)

    def average(self, x: Array, name: str) -> Array:
        return jnp.mean(x, axis=(1, 2))

    def means_and_maxima(self, x: Array, name: str) -> Array:
        x = x.astype(jnp.float32)
        return self.join([jnp.mean(x, axis=(1, 2)), jnp.max(x, axis=(1, 2))], name)

    def join(self, vectors: Sequence[Array], name: str) -> Array:
        return jnp.concatenate(vectors, axis=-1)

    def standardize(self, x: Array, name: str) -> Array:
        mean, variance = (self._weights[f"{name}/{part}"] for part in MOVING)
        scale = lax.rsqrt(variance + STANDARD_EPSILON)
        return x.astype(jnp.float32) * scale - mean * scale

    def flatten(self, x: Array, name: str) -> Array:
        return x.reshape(len(x), -1)

    def dense(self, x: Array, units: int, name: str) -> Array:
        return jax.nn.relu(self._affine(x, name))

    def dropout(self, x: Array, name: str) -> Array:
        return x

    def logits(self, x: Array, name: str) -> Array:
        return self._affine(x.astype(jnp.float32), name)

    def _affine(self, x: Array, name: str) -> Array:
        kernel, bias = (
            jnp.asarray(self._weights[f"{name}/{part}"], x.dtype) for part in ("kernel", "bias")
        )
        return x @ kernel + bias


class _ButLast(_Computed):
    """The same layers, with nothing for the last one."""

    def logits(self, x: Array, name: str) -> Array:
        return x.astype(jnp.float32)


def weight_shapes(
    config: ModelConfig, *, classes: int, image_size: int
) -> tuple[dict[str, Any], dict[str, Any]]:
    """(params, model_state) of the network as shapes and types, named as Keras names them."""
    layers = describe(config, classes=classes, image_size=image_size)
    params, state = dict[str, Any](), dict[str, Any]()
    for layer in layers:
        trained = state if is_frozen(config, layer.name) else params
        trained |= {name: _of(shape) for name, shape in layer.weights.items()}
        state |= {name: _of(shape) for name, shape in layer.moving.items()}
    for i in range(1, sum(layer.dropouts for layer in layers) + 1):
        state[f"seed_generator_{i}/seed_generator_state"] = _of((2,), jnp.uint32)
    return params, state


def _of(shape: tuple[int, ...], dtype: Any = jnp.float32) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(shape, dtype)
