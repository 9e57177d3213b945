"""Keras' own layers, faster on CPUs: of the same name, arguments and weights."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jax import Array

from kvgg_jax.core.keras_gate import keras
from kvgg_jax.models.kernels import taps
from kvgg_jax.models.kernels.conv import conv3x3, conv3x3_valid
from kvgg_jax.models.kernels.relu_pool import max_pool2x2, relu
from kvgg_jax.models.preprocess import caffe


@keras.saving.register_keras_serializable(package="kvgg_jax")
class Conv2D(keras.layers.Conv2D):
    """Keras' `Conv2D` that uses our convolutions and `relu` where those apply.

    It has Keras' name, because weight files name layers by class.
    """

    def call(self, inputs: Array | keras.KerasTensor) -> Any:
        """`inputs` convolved, with bias and activation."""
        if self.activation is not keras.activations.relu or not self.use_bias:
            return super().call(inputs)
        return relu(self.convolution_op(inputs, self.kernel) + self.bias)

    def convolution_op(self, inputs: Array | keras.KerasTensor, kernel: Array) -> Any:
        """`inputs` convolved with `kernel`, before bias and activation."""
        if _is_plain(self) and (self.strides != (1, 1) or self.kernel_size == (1, 1)):
            return taps.convolve(*_alike(inputs, kernel), self.strides, self.padding.upper())
        if _is_plain(self) and self.kernel_size == (3, 3):
            convolve = conv3x3 if self.padding == "same" else conv3x3_valid
            return convolve(*_alike(inputs, kernel))
        return super().convolution_op(inputs, kernel)


@keras.saving.register_keras_serializable(package="kvgg_jax")
class DepthwiseConv2D(keras.layers.DepthwiseConv2D):
    """Keras' `DepthwiseConv2D` that uses our convolution where that applies."""

    def call(self, inputs: Array | keras.KerasTensor) -> Any:
        """`inputs` convolved channel by channel, with bias and activation."""
        if not _is_plain(self) or self.depth_multiplier != 1:
            return super().call(inputs)
        x, w = _alike(inputs, self.kernel)
        y = taps.convolve_depthwise(x, w[..., 0], self.strides, self.padding.upper())
        y = y + self.bias if self.use_bias else y
        return y if self.activation is None else self.activation(y)


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


FASTER: dict[type, type] = {
    keras.layers.Conv2D: Conv2D,
    keras.layers.DepthwiseConv2D: DepthwiseConv2D,
}


def make_faster(layer: Any) -> None:
    """Let a layer of Keras compute as the faster one here; others stay as they are.

    It keeps its weights, names and settings: only the functions differ.
    """
    if type(layer) in FASTER:
        layer.__class__ = FASTER[type(layer)]


def _alike(inputs: Any, kernel: Any) -> tuple[Array, Array]:
    """Both as arrays of one type."""
    x, w = keras.ops.convert_to_tensor(inputs), keras.ops.convert_to_tensor(kernel)
    dtype = jnp.promote_types(x.dtype, w.dtype)
    return x.astype(dtype), w.astype(dtype)


def _is_plain(layer: Any) -> bool:
    """Whether a convolution is of dense pixels in the usual order, and of all channels."""
    return (
        layer.dilation_rate == (1, 1)
        and getattr(layer, "groups", 1) == 1
        and layer.data_format == "channels_last"
        and layer.padding in ("same", "valid")
    )
