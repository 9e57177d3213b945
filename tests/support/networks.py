"""Thin networks of Keras' own layers, and weight files in the layout of Keras Applications'."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np

from kvgg_jax.core.keras_gate import keras
from kvgg_jax.core.tables.model import ModelConfig
from kvgg_jax.models.build import Zeros, vgg
from support.runs import THIN

Arrays = dict[str, list[np.ndarray]]
ZEROS = {"kernel_initializer": Zeros()}  # at once; Keras compiles a program a shape to draw
SAME = {"padding": "same", **ZEROS}


def stock_network(*, classes: int = 3, top: bool = True, batch_norm: bool = False) -> keras.Model:
    """A thin VGG11 of Keras' own layers, named as Keras Applications names them."""
    image = x = keras.Input((32, 32, 3))
    for b, block in enumerate(THIN, 1):
        for c, width in enumerate(block, 1):
            name = f"block{b}_conv{c}"
            x = keras.layers.Conv2D(
                width, 3, padding="same", activation="relu", name=name, **ZEROS
            )(x)
            if batch_norm:
                x = keras.layers.BatchNormalization(name=f"{name}_bn")(x)
        x = keras.layers.MaxPooling2D(2, name=f"block{b}_pool")(x)
    if top:
        x = keras.layers.Flatten(name="flatten")(x)
        x = keras.layers.Dense(8, activation="relu", name="fc1", **ZEROS)(x)
        x = keras.layers.Dense(classes, activation="softmax", name="predictions", **ZEROS)(x)
    model = keras.Model(image, x, name="vgg11")
    rng = np.random.default_rng(0)
    model.set_weights([rng.random(w.shape, np.float32) for w in model.weights])
    return model


def arrays_of(model: keras.Model) -> Arrays:
    layers = {layer.name: layer.weights for layer in model.layers if layer.weights}
    return {name: [np.asarray(w.value) for w in weights] for name, weights in layers.items()}


def write_applications(file: Path, arrays: Arrays, *, suffix: str = "_1:0") -> Path:
    """The layout of `vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5`, which Keras 1 wrote."""
    with h5py.File(file, "w") as f:
        pools = [f"block{b}_pool" for b in range(1, 6)]
        f.attrs["layer_names"] = [name.encode() for name in ("input_1", *pools, *arrays)]
        f.attrs["backend"], f.attrs["keras_version"] = b"tensorflow", b"1.2.0"
        for name in ("input_1", *pools):
            f.create_group(name).attrs["weight_names"] = np.zeros(0, "S1")
        for name, values in arrays.items():
            group = f.create_group(name)
            names = [f"{name}_{letter}{suffix}" for letter in "Wb"]
            group.attrs["weight_names"] = [text.encode() for text in names]
            for text, value in zip(names, values, strict=True):
                group.create_dataset(text, data=value)
    return file


def shapes_only(config: ModelConfig, **size: int) -> keras.Model:
    """The network without values: its weights are declared, and never drawn."""
    return undrawn(lambda: vgg(config, **size))


def undrawn(build: Callable[[], keras.Model]) -> keras.Model:
    """What `build` returns, to look at only. Keras would draw its weights at the next chance."""
    with keras.StatelessScope(initialize_variables=False):
        model = build()
    keras.utils.clear_session(free_memory=False)  # forget that they are still to be drawn
    return model


def parameters(model: keras.Model) -> int:
    return sum(math.prod(variable.shape) for variable in model.trainable_variables)


def names(model: keras.Model) -> list[str]:
    return [layer.name for layer in model.layers]
