"""Keras' own layers, faster on CPUs: of the same name, arguments and weights."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jax import Array

from kvgg_jax.core.keras_gate import keras
from kvgg_jax.models.kernels.conv import conv3x3
from kvgg_jax.models.kernels.relu_pool import max_pool2x2, relu
from kvgg_jax.models.preprocess import caffe


@keras.saving.register_keras_serializable(package="kvgg_jax")
class Conv2D(keras.layers.Conv2D):
    """Keras' `Conv2D` that uses `conv3x3` and `relu` where those apply.

    It has Keras' name, because weight files name layers by class.
    """

    def call(self, inputs: Array | keras.KerasTensor) -> Any:
        """`inputs` convolved, with bias and activation."""
        if self.activation is not keras.activations.relu or not self.use_bias:
            return super().call(inputs)
        return relu(self.convolution_op(inputs, self.kernel) + self.bias)

    def convolution_op(self, inputs: Array | keras.KerasTensor, kernel: Array) -> Any:
        """`inputs` convolved with `kernel`, before bias and activation."""
        geometry = (self.kernel_size, self.strides, self.dilation_rate)
        plain = geometry == ((3, 3), (1, 1), (1, 1)) and self.groups == 1
        if not plain or self.padding != "same" or self.data_format != "channels_last":
            return super().convolution_op(inputs, kernel)
        x, w = keras.ops.convert_to_tensor(inputs), keras.ops.convert_to_tensor(kernel)
        dtype = jnp.promote_types(x.dtype, w.dtype)
        return conv3x3(x.astype(dtype), w.astype(dtype))


@keras.saving.register_keras_serializable(package="kvgg_jax")
class MaxPooling2D(keras.layers.MaxPooling2D):
    """Keras' `MaxPooling2D` that uses `max_pool2x2` where that applies."""

    def call(self, inputs: Array | keras.KerasTensor) -> Any:
        """`inputs` pooled."""
        if (
            self.pool_size != (2, 2)
            or self.strides != (2, 2)
            or self.padding != "valid"
            or self.data_format != "channels_last"
            or isinstance(inputs, keras.KerasTensor)
        ):
            return super().call(inputs)
        return max_pool2x2(keras.ops.convert_to_tensor(inputs))


@keras.saving.register_keras_serializable(package="kvgg_jax")
class Caffe(keras.layers.Layer):
    """Prepares images in [0, 1] for Keras' ImageNet weights; it has no weights."""

    def call(self, inputs: Array) -> Any:
        """`inputs` as BGR in 0..255, less ImageNet's means."""
        return caffe(inputs)
