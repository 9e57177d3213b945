"""How images are prepared for a network, on the device."""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array

from kvgg_jax.core.state import AnyArray

PREPROCESSING = "preprocessing"  # name of the layer before a backbone that prepares images
CAFFE_MEANS = (103.939, 116.779, 123.68)  # blue, green, red, of ImageNet in 0..255


def normalize(images: AnyArray) -> Array:
    """uint8 0..255 -> float32 in [0, 1], on the device: a quarter of the bytes travel there.

    Features, which are floats, stay as they are.
    """
    values = jnp.asarray(images, jnp.float32)
    return values / 255.0 if images.dtype == jnp.uint8 else values


def caffe(images: AnyArray) -> Array:
    """RGB in [0, 1] -> BGR in 0..255 less ImageNet's means, [batch, height, width, 3].

    As `keras.applications.vgg16.preprocess_input`.
    """
    return jnp.asarray(images)[..., ::-1] * 255.0 - jnp.asarray(CAFFE_MEANS, jnp.float32)
