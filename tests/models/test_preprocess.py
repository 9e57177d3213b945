"""Images as a network takes them."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np

from kvgg_jax.core.keras_gate import keras
from kvgg_jax.models.preprocess import caffe, normalize


def test_normalize_maps_bytes_to_the_unit_interval() -> None:
    """0 -> 0, 255 -> 1, in float32."""
    found = normalize(np.arange(256, dtype=np.uint8))
    assert found.dtype == jnp.float32
    assert (float(found[0]), float(found[255])) == (0, 1)
    np.testing.assert_allclose(found, np.arange(256) / 255, rtol=1.2e-7)  # one bit: XLA multiplies


def test_features_are_floats_already_and_stay_as_they_are() -> None:
    """A head that is trained on them divides nothing by 255."""
    features = np.array([0.5, 300.0], np.float32)
    np.testing.assert_array_equal(normalize(features), features)


def test_caffe_is_the_preprocessing_of_keras_applications() -> None:
    """Of 0..255 there, of [0, 1] here: BGR, less ImageNet's means."""
    images = np.random.default_rng(0).integers(0, 256, (2, 5, 7, 3), np.uint8)
    expected = keras.applications.vgg16.preprocess_input(images.astype(np.float32))
    np.testing.assert_allclose(caffe(normalize(images)), expected, atol=5e-5)
    black = caffe(np.zeros((1, 1, 1, 3), np.float32))[0, 0, 0]
    np.testing.assert_allclose(black, [-103.939, -116.779, -123.68])
