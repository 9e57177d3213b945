"""How sharp photos are, and which of them stand out in their class."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageFilter

from kvgg_jax.data.audit.quality import class_medians, sharpness, stand_out


def noise() -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (128, 128, 3), np.uint8))


def test_a_blurred_photo_is_less_sharp_than_the_same_in_focus() -> None:
    """The more, the stronger the blur."""
    photo = noise()
    found = [
        sharpness(np.asarray(photo.filter(ImageFilter.GaussianBlur(radius))))
        for radius in (0, 1, 2, 4)
    ]
    assert found == sorted(found, reverse=True)
    assert found[0] > 4 * found[2]


def test_an_even_image_has_no_sharpness() -> None:
    """Nor has its border any."""
    assert sharpness(np.full((20, 30, 3), 77, np.uint8)) == 0.0


def test_sharpness_does_not_depend_on_the_resolution_of_the_camera() -> None:
    """Photos are measured at one size."""
    photo = noise()
    large = photo.resize((512, 512), Image.Resampling.NEAREST)
    assert sharpness(np.asarray(large)) == pytest.approx(sharpness(np.asarray(photo)), rel=0.01)


def test_the_median_of_its_class_stands_beside_each_photo() -> None:
    """In the order of the photos."""
    assert class_medians([1, 10, 3, 30, 2], [0, 1, 0, 1, 0]).tolist() == [2, 20, 2, 20, 2]


def test_a_photo_stands_out_in_its_own_class_alone() -> None:
    """0.2 is usual in the first class, and far from the second."""
    values = [0.2, 0.21, 0.19, 0.2, 0.8, 0.82, 0.78, 0.2, 3.0]
    labels = [0] * 4 + [1] * 5
    assert np.flatnonzero(stand_out(values, labels, end="low")).tolist() == [7]
    assert np.flatnonzero(stand_out(values, labels, end="high")).tolist() == [8]


def test_nearly_equal_photos_do_not_stand_out() -> None:
    """However small the spread of their class, less than a sixth is no difference."""
    assert not stand_out([1.0] * 8 + [0.9], [0] * 9, end="low").any()
    assert stand_out([1.0] * 8 + [0.8], [0] * 9, end="low").tolist() == [False] * 8 + [True]
