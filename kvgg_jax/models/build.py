"""A network as a plain `keras.Model` that returns logits."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from kvgg_jax.core.errors import ConfigError
from kvgg_jax.core.keras_gate import keras
from kvgg_jax.core.state import Weights
from kvgg_jax.core.tables.architectures import short
from kvgg_jax.core.tables.model import ModelConfig
from kvgg_jax.models.from_keras.networks import build as build_network
from kvgg_jax.models.functional import STANDARD_EPSILON
from kvgg_jax.models.heads import STANDARDIZED
from kvgg_jax.models.layers import Caffe, Conv2D, MaxPooling2D
from kvgg_jax.models.preprocess import PREPROCESSING
from kvgg_jax.models.registry import choose_network, is_frozen

# Keras' 0.99 needs hundreds of steps to forget the first ones; an epoch here has tens.
BATCH_NORM_MOMENTUM = 0.9


class Built(NamedTuple):
    """A network, and the point in it up to which a frozen backbone is constant."""

    model: keras.Model
    features: keras.KerasTensor
    """Output of the backbone and of what the head does first, without weights."""

    @property
    def head(self) -> keras.Model:
        """From `features` to logits, with the layers and variables of `model`."""
        return keras.Model(self.features, self.model.output)


def vgg(
    config: ModelConfig | None = None,
    *,
    classes: int,
    image_size: int = 224,
    precision: str = "float32",
    seed: int | None = 42,
) -> keras.Model:
    """VGG with random weights: float32 [batch, size, size, 3] in [0, 1] -> logits [batch, classes].

    Layers have the names of Keras Applications (`block1_conv1` ... `fc1`, `predictions`). The
    weights are a function of `seed` alone; with None they are zero, to be replaced. Frozen stages
    are not trainable, and their batch norm keeps its statistics in training too.
    `precision="bfloat16"` computes in bfloat16 and keeps weights and logits in float32.
    Raises ConfigError for an impossible size.
    """
    return build(
        config or ModelConfig(),
        classes=classes,
        image_size=image_size,
        precision=precision,
        seed=seed,
    ).model


def build(
    config: ModelConfig, *, classes: int, image_size: int, precision: str, seed: int | None
) -> Built:
    """The network of a configuration; arguments and errors are those of `vgg`."""
    network = choose_network(config)
    if image_size < network.backbone.min_size:
        raise ConfigError(
            f"image_size {image_size} is too small: {config.arch} needs at least "
            f"{network.backbone.min_size} pixels a side."
        )
    if classes < 2:
        raise ConfigError(f"classes = {classes}: a classifier needs at least 2.")
    layers = _Built(config, classes, precision=precision, seed=seed)
    x = inputs = keras.Input((image_size, image_size, 3), name="image")
    if config.preprocessing == "caffe":
        x = Caffe(name=PREPROCESSING, dtype="float32")(x)
    features = network.features(layers, network.backbone.stage_maps(layers, x))
    model = keras.Model(inputs, network.head.logits(layers, features), name=short(config.arch))
    for layer in model.layers:
        layer.trainable = layer.name != STANDARDIZED and not is_frozen(config, layer.name)
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = BATCH_NORM_MOMENTUM
    return Built(model, features)


@keras.saving.register_keras_serializable(package="kvgg_jax")
class Zeros(keras.initializers.Initializer):
    """Zeros by NumPy, at once: XLA would compile a program per shape."""

    def __call__(self, shape: tuple[int, ...], dtype: str | None = None) -> NDArray[Any]:
        """Zeros of `shape`."""
        return np.zeros(shape, dtype or "float32")


class _Built:
    """Layers of Keras, made in order, so that each draws its own seed."""

    def __init__(
        self, config: ModelConfig, classes: int, *, precision: str, seed: int | None
    ) -> None:
        self._config, self._classes, self._precision = config, classes, precision
        self._dtype = "mixed_bfloat16" if precision == "bfloat16" else "float32"
        self._draws, self._seed = seed is not None, (seed or 0) * 1000

    def network(self, x: keras.KerasTensor, name: str) -> tuple[keras.KerasTensor, ...]:
        seed = self._next_seed() if self._draws else None
        stages = build_network(name, x, precision=self._precision, seed=seed)
        return tuple(stage.output for stage in stages)

    def conv(self, x: keras.KerasTensor, channels: int, name: str) -> keras.KerasTensor:
        normed = self._config.batch_norm
        x = Conv2D(
            channels,
            3,
            padding="same",
            activation=None if normed else "relu",
            use_bias=not normed,  # batch norm's beta is the bias
            kernel_initializer=self._initializer(),
            name=name,
            dtype=self._dtype,
        )(x)
        if not normed:
            return x
        x = keras.layers.BatchNormalization(name=f"{name}_bn", dtype=self._dtype)(x)
        return keras.layers.ReLU(name=f"{name}_relu", dtype=self._dtype)(x)

    def pool(self, x: keras.KerasTensor, name: str) -> keras.KerasTensor:
        return MaxPooling2D(2, name=name, dtype=self._dtype)(x)

    def average(self, x: keras.KerasTensor, name: str) -> keras.KerasTensor:
        return keras.layers.GlobalAveragePooling2D(name=name, dtype=self._dtype)(x)

    def means_and_maxima(self, x: keras.KerasTensor, name: str) -> keras.KerasTensor:
        means = keras.layers.GlobalAveragePooling2D(name=f"{name}_mean", dtype="float32")(x)
        maxima = keras.layers.GlobalMaxPooling2D(name=f"{name}_max", dtype="float32")(x)
        return self.join([means, maxima], name)

    def join(self, vectors: Sequence[keras.KerasTensor], name: str) -> keras.KerasTensor:
        if len(vectors) == 1:
            return vectors[0]
        return keras.layers.Concatenate(name=name, dtype="float32")(vectors)

    def standardize(self, x: keras.KerasTensor, name: str) -> keras.KerasTensor:
        """Batch norm whose statistics are set once, and never change in training."""
        fixed = {"center": False, "scale": False, "epsilon": STANDARD_EPSILON}
        return keras.layers.BatchNormalization(name=name, dtype="float32", **fixed)(x)

    def flatten(self, x: keras.KerasTensor, name: str) -> keras.KerasTensor:
        return keras.layers.Flatten(name=name, dtype=self._dtype)(x)

    def dense(self, x: keras.KerasTensor, units: int, name: str) -> keras.KerasTensor:
        return self._dense(units, name, activation="relu", dtype=self._dtype)(x)

    def dropout(self, x: keras.KerasTensor, name: str) -> keras.KerasTensor:
        if not self._config.dropout:
            return x
        rate, seed = self._config.dropout, self._next_seed()
        return keras.layers.Dropout(rate, seed=seed, name=name, dtype=self._dtype)(x)

    def logits(self, x: keras.KerasTensor, name: str) -> keras.KerasTensor:
        return self._dense(self._classes, name, dtype="float32")(x)

    def _dense(self, units: int, name: str, **options: str) -> keras.Layer:
        drawn = self._initializer()
        return keras.layers.Dense(units, kernel_initializer=drawn, name=name, **options)

    def _initializer(self) -> keras.Initializer:
        if not self._draws:
            return Zeros()
        return getattr(keras.initializers, self._config.init)(seed=self._next_seed())

    def _next_seed(self) -> int:
        self._seed += 1
        return self._seed % 2**32  # Keras takes 32 bits


def variable_names(variables: list[keras.Variable]) -> list[str]:
    """A unique name for each: its path in the model.

    Keras numbers seed generators across the whole process; here they count within the list.
    """
    names: list[str] = []
    generators = itertools.count(1)
    for variable in variables:
        head, _, tail = variable.path.rpartition("/")
        if tail == "seed_generator_state":
            head = f"seed_generator_{next(generators)}"
        names.append(f"{head}/{tail}" if head else tail)
    assert len(set(names)) == len(names), "variable names must be unique"
    return names


def assign_weights(model: keras.Model, weights: Weights) -> None:
    """Give a network all its weights, by the names of `variable_names`."""
    parts = (model.trainable_variables, model.non_trainable_variables)
    for values, variables in zip(weights, parts, strict=True):
        for name, variable in zip(variable_names(variables), variables, strict=True):
            variable.assign(np.array(values[name]))  # a copy: Keras donates its own arrays
