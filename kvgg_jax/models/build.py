"""A network as a plain `keras.Model` that returns logits."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kvgg_jax.core.config import ModelConfig
from kvgg_jax.core.errors import ConfigError
from kvgg_jax.core.keras_gate import keras
from kvgg_jax.models.heads import parse_head
from kvgg_jax.models.layers import Caffe, Conv2D, MaxPooling2D
from kvgg_jax.models.registry import BACKBONES, PREPROCESSING, frozen_stages

# Keras' 0.99 needs hundreds of steps to forget the first ones; an epoch here has tens.
BATCH_NORM_MOMENTUM = 0.9


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
    config = config or ModelConfig()
    backbone = BACKBONES[config.arch]
    if image_size < backbone.min_size:
        raise ConfigError(
            f"image_size {image_size} is too small: {config.arch} needs at least "
            f"{backbone.min_size} pixels a side."
        )
    if classes < 2:
        raise ConfigError(f"classes = {classes}: a classifier needs at least 2.")
    layers = _Built(config, classes, precision=precision, seed=seed)
    x = inputs = keras.Input((image_size, image_size, 3), name="image")
    if config.preprocessing == "caffe":
        x = Caffe(name=PREPROCESSING, dtype="float32")(x)
    features = backbone.features(layers, backbone.feature_maps(layers, x))
    model = keras.Model(inputs, parse_head(config.head)(layers, features), name=config.arch)
    frozen = frozen_stages(config)
    for layer in model.layers:
        layer.trainable = not layer.name.startswith(frozen)
    return model


def head_of(model: keras.Model) -> keras.Model:
    """From the features of the backbone to logits, with the layers and variables of `model`."""
    stages = BACKBONES[model.name].stages
    *_, last = (layer for layer in model.layers if layer.name.startswith(stages))
    return keras.Model(last.output, model.output)


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
        self._config, self._classes = config, classes
        self._dtype = "mixed_bfloat16" if precision == "bfloat16" else "float32"
        self._draws, self._seed = seed is not None, (seed or 0) * 1000

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
        x = keras.layers.BatchNormalization(
            momentum=BATCH_NORM_MOMENTUM, name=f"{name}_bn", dtype=self._dtype
        )(x)
        return keras.layers.ReLU(name=f"{name}_relu", dtype=self._dtype)(x)

    def pool(self, x: keras.KerasTensor, name: str) -> keras.KerasTensor:
        return MaxPooling2D(2, name=name, dtype=self._dtype)(x)

    def average(self, x: keras.KerasTensor, name: str) -> keras.KerasTensor:
        return keras.layers.GlobalAveragePooling2D(name=name, dtype=self._dtype)(x)

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
