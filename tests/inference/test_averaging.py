"""Means of probabilities, by hand."""

from __future__ import annotations

import numpy as np

from kvgg_jax.inference.averaging import mean_of, mirrored, with_mirror_images
from kvgg_jax.inference.prediction import Outputs


def test_the_mean_of_one_network_is_its_own_to_the_bit() -> None:
    def predict(images: np.ndarray) -> Outputs:
        return Outputs(images[:, 0, 0, :2].astype(np.float32) / np.float32(3))

    assert mean_of([predict]) is predict


def test_the_mean_is_over_networks() -> None:
    images = np.zeros((2, 1, 1, 3), np.uint8)
    far = np.array([1.0, 2.0])
    sure, unsure = np.array([[1, 0], [0.5, 0.5]]), np.array([[0.5, 0.5], [0.5, 0.5]])
    found = mean_of([lambda _: Outputs(sure, far), lambda _: Outputs(unsure)])(images)
    assert np.array_equal(found.probabilities, [[0.75, 0.25], [0.5, 0.5]])
    assert found.distances is far


def test_a_mirror_image_has_left_and_right_exchanged() -> None:
    image = np.arange(12, dtype=np.uint8).reshape(1, 2, 2, 3)
    assert mirrored(image)[0, 0].tolist() == [[3, 4, 5], [0, 1, 2]]
    assert mirrored(image)[0, 1].tolist() == [[9, 10, 11], [6, 7, 8]]
    assert mirrored(mirrored(image)).tolist() == image.tolist()


def test_an_image_and_its_mirror_image_are_averaged_to_the_same() -> None:
    images = np.array([[[[200] * 3, [100] * 3]]], np.uint8)

    def left(images: np.ndarray) -> Outputs:
        share = images[:, 0, 0, :1] / 255
        return Outputs(np.concatenate([share, 1 - share], axis=1))

    both = with_mirror_images(left)
    assert np.allclose(both(images).probabilities, [[150 / 255, 105 / 255]])
    assert np.array_equal(both(images).probabilities, both(mirrored(images)).probabilities)
