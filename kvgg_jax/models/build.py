"""VGG as a plain `keras.Model` that returns logits (Simonyan & Zisserman 2015, table 1)."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kvgg_jax.core.config import MIN_IMAGE_SIZE, ModelConfig, parse_head
from kvgg_jax.core.errors import ConfigError
from kvgg_jax.core.keras_gate import keras
from kvgg_jax.models.cost import BLOCKS
from kvgg_jax.models.layers import Caffe, Conv2D, MaxPooling2D

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

    Layers carry the names that Keras Applications uses (`block1_conv1` ... `fc1`, `predictions`).
    The weights are a function of `seed` alone; with None they are zero, to be loaded over.
    Frozen blocks are not trainable; their batch norm keeps its statistics in training too.
    `precision="bfloat16"` computes in bfloat16 and keeps weights and logits in float32.
    Raises ConfigError for an impossible size.
    """
    config = config or ModelConfig()
    if image_size < MIN_IMAGE_SIZE:
        raise ConfigError(
            f"image_size {image_size} is too small: five poolings need at least {MIN_IMAGE_SIZE}."
        )
    if classes < 2:
        raise ConfigError(f"classes = {classes}: a classifier needs at least 2.")
    build = _Layers(config, "mixed_bfloat16" if precision == "bfloat16" else "float32", seed)
    inputs = keras.Input((image_size, image_size, 3), name="image")
    caffe = Caffe(name="preprocessing", dtype="float32")
    prepared = caffe(inputs) if config.preprocessing == "caffe" else inputs
    logits = build.head(build.backbone(prepared), classes)
    model = keras.Model(inputs, logits, name=config.arch)
    frozen = tuple(f"block{b}_" for b in range(1, config.frozen_blocks + 1))
    for layer in model.layers:
        layer.trainable = not layer.name.startswith(frozen)
    return model


def head_of(model: keras.Model) -> keras.Model:
    """From the features of the last block to logits: layers and variables are those of `model`."""
    return keras.Model(model.get_layer("block5_pool").output, model.output)


@keras.saving.register_keras_serializable(package="kvgg_jax")
class Zeros(keras.initializers.Initializer):
    """Zeros by NumPy, at once; XLA would compile a program a shape, and drawing takes seconds."""

    def __call__(self, shape: tuple[int, ...], dtype: str | None = None) -> NDArray[Any]:
        """Zeros of `shape`."""
        return np.zeros(shape, dtype or "float32")


class _Layers:
    """Makes the layers in order, so that each draws its own seed."""

    def __init__(self, config: ModelConfig, dtype: str, seed: int | None) -> None:
        self.config, self.dtype = config, dtype
        self.draws, self._seed = seed is not None, (seed or 0) * 1000

    def backbone(self, x: keras.KerasTensor) -> keras.KerasTensor:
        for b, block in enumerate(BLOCKS[self.config.arch], 1):
            for c, channels in enumerate(block, 1):
                x = self.conv(x, channels, f"block{b}_conv{c}")
            x = MaxPooling2D(2, name=f"block{b}_pool", dtype=self.dtype)(x)
        return x

    def conv(self, x: keras.KerasTensor, channels: int, name: str) -> keras.KerasTensor:
        normed = self.config.batch_norm
        x = Conv2D(
            channels,
            3,
            padding="same",
            activation=None if normed else "relu",
            use_bias=not normed,  # batch norm's beta is the bias
            kernel_initializer=self.initializer(),
            name=name,
            dtype=self.dtype,
        )(x)
        if not normed:
            return x
        x = keras.layers.BatchNormalization(
            momentum=BATCH_NORM_MOMENTUM, name=f"{name}_bn", dtype=self.dtype
        )(x)
        return keras.layers.ReLU(name=f"{name}_relu", dtype=self.dtype)(x)

    def head(self, x: keras.KerasTensor, classes: int) -> keras.KerasTensor:
        sizes = parse_head(self.config.head)
        if sizes is None:
            x = keras.layers.GlobalAveragePooling2D(name="gap", dtype=self.dtype)(x)
        else:
            x = keras.layers.Flatten(name="flatten", dtype=self.dtype)(x)
        for i, units in enumerate(sizes or (), 1):
            x = self.dense(x, units, f"fc{i}", "relu", self.dtype)
            x = self.dropout(x, f"fc{i}_dropout")
        if sizes is None:
            x = self.dropout(x, "gap_dropout")
        return self.dense(x, classes, "predictions", None, "float32")

    def dense(
        self, x: keras.KerasTensor, units: int, name: str, activation: str | None, dtype: str
    ) -> keras.KerasTensor:
        return keras.layers.Dense(
            units,
            activation=activation,
            kernel_initializer=self.initializer(),
            name=name,
            dtype=dtype,
        )(x)

    def dropout(self, x: keras.KerasTensor, name: str) -> keras.KerasTensor:
        if not self.config.dropout:
            return x
        rate = self.config.dropout
        return keras.layers.Dropout(rate, seed=self.seed(), name=name, dtype=self.dtype)(x)

    def initializer(self) -> keras.Initializer:
        if not self.draws:
            return Zeros()
        kinds = {
            "he_uniform": keras.initializers.HeUniform,
            "glorot_uniform": keras.initializers.GlorotUniform,
        }
        return kinds[self.config.init](seed=self.seed())

    def seed(self) -> int:
        self._seed += 1
        return self._seed % 2**32  # Keras takes 32 bits


def variable_names(variables: list[keras.Variable]) -> list[str]:
    """A unique, stable name each: the variable's path in the model.

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
