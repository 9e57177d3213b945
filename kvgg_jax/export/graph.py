"""A network in Keras' own layers alone, from pixels to probabilities, for other programs."""

from __future__ import annotations

import inspect
import json
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
from numpy.typing import NDArray

from kvgg_jax.core import tf_gate  # noqa: F401 - Keras imports TensorFlow to describe a layer
from kvgg_jax.core.errors import RunError
from kvgg_jax.core.files import write_text
from kvgg_jax.core.keras_gate import keras
from kvgg_jax.inference.known_photos import KnownPhotos
from kvgg_jax.inference.prediction import Outputs, PredictFunction
from kvgg_jax.models.from_keras.random_weights import draw, undrawn
from kvgg_jax.models.heads import LAST
from kvgg_jax.models.layers import FASTER, Caffe
from kvgg_jax.models.preprocess import CAFFE_MEANS, PREPROCESSING

OUTPUTS = ("probabilities", "distance")
DISTANCE = ("whitened", "class_distances")
"""Layers that measure how far an image is from the known photos."""
LAYER_SETTINGS = {"name", "trainable", "dtype"}
About = dict[str, Any]
"""What a format holds besides the weights, as JSON: class names, shapes, units, origin."""


def portable(
    model: keras.Model, temperature: float | None = None, known: KnownPhotos | None = None
) -> keras.Model:
    """`model` with its weights: [batch, size, size, 3] in 0..255, float or uint8 -> probabilities.

    The logits are divided by `temperature`, if there is one. With `known` there are two outputs:
    probabilities and distances from the known photos, [batch]. It computes in float32, needs
    nothing of this package, and leaves out what is for training only.
    """
    new = undrawn(lambda: _copy(model, temperature, known))
    for layer in new.layers:
        if layer.name in (PREPROCESSING, *DISTANCE):
            draw(layer.variables, 0)
        elif layer.variables:
            trained = model.get_layer(layer.name).variables
            for variable, source in zip(layer.variables, trained, strict=True):
                variable.assign(source.value)
    return new


def _copy(model: keras.Model, temperature: float | None, known: KnownPhotos | None) -> keras.Model:
    """The layers of `portable`, without values for their weights."""
    inputs = keras.Input(model.input.shape[1:], name="image")
    x = keras.layers.Rescaling(1 / 255, name="to_unit_range")(inputs)
    outputs: list[keras.KerasTensor] = []
    embedding: list[keras.KerasTensor] = []

    def call(operation: Any, *args: Any, **kwargs: Any) -> Any:
        if operation.name == LAST:
            embedding.append(args[0])
        dropped = isinstance(operation, keras.layers.Dropout)
        outputs.append(args[0] if dropped else operation(*args, **kwargs))
        return outputs[-1]

    keras.models.clone_model(model, input_tensors=x, clone_function=_stock, call_function=call)
    x = outputs[-1]
    if temperature is not None:
        x = keras.layers.Rescaling(1 / temperature, name="temperature")(x)
    found = keras.layers.Softmax(name="probabilities")(x)
    if known is None:
        return keras.Model(inputs, found, name=model.name)
    return keras.Model(inputs, [found, _distance(embedding[0], known)], name=model.name)


def _distance(embedding: keras.KerasTensor, known: KnownPhotos) -> keras.KerasTensor:
    """As `KnownPhotos.distance`; |x - m|^2 is |x|^2 - 2 x m + |m|^2, which a Dense layer adds."""
    whitened, to_means = DISTANCE
    x = _dense(known.kernel, known.bias, whitened)(embedding)
    squares = (known.means**2).sum(axis=1)
    nearest = keras.ops.min(_dense(-2 * known.means.T, squares, to_means)(x), axis=1)
    return keras.ops.sqrt(keras.ops.relu(nearest + keras.ops.sum(x * x, axis=1)))


def _dense(kernel: NDArray[Any], bias: NDArray[Any], name: str) -> keras.Layer:
    """A layer with these weights."""
    return keras.layers.Dense(
        len(bias),
        kernel_initializer=keras.initializers.Constant(kernel.tolist()),
        bias_initializer=keras.initializers.Constant(bias.tolist()),
        name=name,
    )


def _caffe(name: str) -> keras.Layer:
    """`Caffe`, from [0, 1] to BGR less ImageNet's means, as a 1x1 convolution."""
    turned = np.flipud(np.eye(3, dtype=np.float32)) * 255
    return keras.layers.Conv2D(
        3,
        1,
        kernel_initializer=keras.initializers.Constant(turned.reshape(1, 1, 3, 3).tolist()),
        bias_initializer=keras.initializers.Constant([-mean for mean in CAFFE_MEANS]),
        name=name,
    )


def _stock(operation: Any) -> Any:
    """An operation as Keras has it, in place of the faster one here, without its weights."""
    if not isinstance(operation, keras.Layer):  # one of `keras.ops` has no state
        return operation
    if isinstance(operation, Caffe):
        return _caffe(operation.name)
    kinds = (*FASTER, keras.layers.MaxPooling2D)
    kind = next((kind for kind in kinds if isinstance(operation, kind)), type(operation))
    config = operation.get_config() | {"dtype": "float32"}
    if kind.__module__.startswith("keras."):
        return kind.from_config(config)
    taken = inspect.signature(kind).parameters  # layers of KerasHub name more than they take
    config = {key: config[key] for key in config if key in taken or key in LAYER_SETTINGS}
    new = kind(**config)
    new.get_config = lambda: config
    return new


def predict_function(model: keras.Model) -> PredictFunction:
    """A `portable` model as a function, compiled by JAX."""
    params, state = (
        [variable.value for variable in variables]
        for variables in (model.trainable_variables, model.non_trainable_variables)
    )
    call = jax.jit(partial(model.stateless_call, training=False))

    def predict(images: NDArray[np.uint8]) -> Outputs:
        found = call(params, state, images)[0]
        return Outputs(*found) if isinstance(found, list | tuple) else Outputs(found)

    return predict


def beside(file: Path) -> Path:
    """Where `about` is for a format that has no room for it: `<file>.json`."""
    return file.with_name(f"{file.name}.json")


def write_beside(file: Path, about: About) -> None:
    """`about` in a file of its own."""
    write_text(beside(file), json.dumps(about, indent=2) + "\n")


def check_layers(model: keras.Model) -> None:
    """Raises RunError where a layer is of neither Keras nor KerasHub: others could not read it."""
    for layer in model.layers:
        if type(layer).__module__.partition(".")[0] not in ("keras", "keras_hub"):
            raise RunError(
                f"{layer.name} ({type(layer).__name__}) is a layer of your own, which no file of "
                "Keras or TensorFlow can hold: use --format onnx, stablehlo or safetensors."
            )
