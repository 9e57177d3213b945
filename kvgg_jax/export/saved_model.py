"""TensorFlow SavedModel, of TensorFlow's own operations.

Keras' `model.export` would put XLA's program inside it, bound to this platform: no other device, no
TensorFlow Lite, no TensorFlow.js.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from kvgg_jax.core.files import write_text
from kvgg_jax.core.keras_gate import keras
from kvgg_jax.core.tf_gate import tf
from kvgg_jax.export.graph import About, not_known
from kvgg_jax.inference.prediction import PredictFunction

ABOUT = Path("assets.extra", "classes.json")  # TensorFlow's place for files of others


def write(model: keras.Model, file: Path, about: About) -> None:
    """A folder `file` with the signature uint8 `image` -> `probabilities`, and `about` in it."""
    module = tf.Module()
    module.weights = {
        layer.name: [tf.Variable(v.value, name=v.name, trainable=False) for v in layer.variables]
        for layer in model.layers
        if layer.variables
    }
    shape = tf.TensorSpec((None, *model.input.shape[1:]), tf.uint8, name="image")

    def serve(image: Any) -> dict[str, Any]:
        x = tf.cast(image, tf.float32)
        for layer in model.layers:
            x = _apply(layer, x, module.weights.get(layer.name, ()))
        return {"probabilities": x}

    signature = tf.function(serve, input_signature=[shape], autograph=False)
    tf.saved_model.save(module, str(file), signatures=signature)
    (file / ABOUT).parent.mkdir()
    write_text(file / ABOUT, json.dumps(about, indent=2) + "\n")


def _apply(layer: keras.Layer, x: Any, weights: Any) -> Any:
    """One layer in TensorFlow; its bias and activation are Keras' own."""
    match layer:
        case keras.layers.InputLayer():
            pass
        case keras.layers.Rescaling():
            x = x * layer.scale
        case keras.layers.Conv2D():
            x = tf.nn.conv2d(x, weights[0], layer.strides, layer.padding.upper())
            x = _finish(layer, x, weights)
        case keras.layers.Dense():
            x = _finish(layer, tf.matmul(x, weights[0]), weights)
        case keras.layers.BatchNormalization():
            gamma, beta, mean, variance = weights
            x = tf.nn.batch_normalization(x, mean, variance, beta, gamma, layer.epsilon)
        case keras.layers.MaxPooling2D():
            x = tf.nn.max_pool2d(x, layer.pool_size, layer.strides, layer.padding.upper())
        case keras.layers.GlobalAveragePooling2D():
            x = tf.reduce_mean(x, axis=(1, 2))
        case keras.layers.Flatten():
            x = tf.reshape(x, (-1, layer.output.shape[1]))
        case keras.layers.ReLU():
            x = tf.nn.relu(x)
        case keras.layers.Softmax():
            x = tf.nn.softmax(x)
        case _:
            raise not_known(layer, "saved-model")
    return x


def _finish(layer: keras.Layer, x: Any, weights: Any) -> Any:
    if layer.use_bias:
        x = tf.nn.bias_add(x, weights[1])
    activations = {keras.activations.relu: tf.nn.relu, keras.activations.linear: tf.identity}
    return activations[layer.activation](x)


def read(file: Path) -> PredictFunction:
    """The signature, as TensorFlow loads it."""
    loaded = tf.saved_model.load(str(file))  # kept alive: it owns the weights
    return lambda images: loaded.signatures["serving_default"](tf.constant(images))[
        "probabilities"
    ].numpy()
