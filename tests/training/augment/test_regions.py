"""Random crops and erased rectangles: where they lie, how large they are, and what they leave."""

from __future__ import annotations

import jax
import numpy as np
import pytest
from PIL import Image

from kvgg_jax.core.keras_gate import keras
from kvgg_jax.training.augment.regions import (
    GRAY,
    RandomResizedCrop,
    make_crop,
    make_erase,
    side_to_crop,
)

SIZE, SIDE, COUNT = 16, 24, 64
SMALLEST = 0.4
# Red rises to the right and green downwards, in shares of a side: a crop tells where it was cut.
ACROSS = np.broadcast_to((np.arange(SIDE, dtype=np.float32) + 0.5) / SIDE, (SIDE, SIDE))
PLACES = np.stack([ACROSS, ACROSS.T, np.full_like(ACROSS, 0.5)], axis=-1)
COPIES = np.broadcast_to(PLACES, (COUNT, SIDE, SIDE, 3))
NOISE = np.random.default_rng(0).random((COUNT, SIZE, SIZE, 3), np.float32)


@pytest.fixture(scope="module")
def crops() -> np.ndarray:
    """64 crops of one image."""
    crop = make_crop(SMALLEST, seed=42, image_size=SIZE)
    assert crop is not None
    return np.asarray(jax.jit(crop)(COPIES, np.int32(0)))


def sides(crops: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Width and height of each crop as shares of the image's, by the slope in its middle."""
    middle = crops[:, 4:12, 4:12]
    width = (middle[:, :, -1, 0] - middle[:, :, 0, 0]).mean(axis=1)
    height = (middle[:, -1, :, 1] - middle[:, 0, :, 1]).mean(axis=1)
    return width * SIZE / 7, height * SIZE / 7


def test_without_the_settings_there_is_no_function_at_all() -> None:
    """So the training step spends nothing on them."""
    assert make_crop(None, seed=0, image_size=SIZE) is None
    assert make_erase(0.0, seed=0, image_size=SIZE) is None


@pytest.mark.parametrize(
    ("crop", "side"), [(0.99, 65), (0.64, 80), (0.5, 91), (0.25, 128), (0.08, 128), (1e-9, 128)]
)
def test_crops_are_cut_from_photos_in_which_the_smallest_has_the_size_of_the_network(
    crop: float, side: int
) -> None:
    """64 / sqrt(crop), up to twice the size."""
    assert side_to_crop(64, crop) == side


def test_crops_have_the_size_of_the_network_and_stay_in_range(crops: np.ndarray) -> None:
    """float32 in [0, 1], each another one; what was flat stays so to the edges."""
    assert (crops.shape, crops.dtype) == ((COUNT, SIZE, SIZE, 3), np.float32)
    assert 0 <= crops.min() <= crops.max() <= 1
    assert len({crop.tobytes() for crop in crops}) == COUNT
    np.testing.assert_allclose(crops[..., 2], 0.5, atol=1e-5)


def test_crops_have_the_area_and_the_aspect_ratio_of_the_paper(crops: np.ndarray) -> None:
    """From the smallest share to nearly all, and from 3/4 to 4/3, wherever they fit."""
    width, height = sides(crops)
    area, ratio = width * height, width / height
    assert SMALLEST - 0.02 < area.min() < 0.5
    assert 0.9 < area.max() < 1.02
    assert abs(area.mean() - (1 + SMALLEST) / 2) < 0.07  # uniform; 64 have a deviation of 0.02
    assert 0.73 < ratio.min() < 0.85
    assert 1.18 < ratio.max() < 1.36
    middle = crops[:, 7:9, 7:9, :2].mean(axis=(1, 2))
    assert (np.stack([width, height], axis=1) / 2 - middle < 0.02).all()  # none leaves the image
    assert (middle + np.stack([width, height], axis=1) / 2 < 1.02).all()
    assert (middle.std(axis=0) > 0.03).all()


def test_a_whole_image_is_resized_as_prediction_resizes_it() -> None:
    """Outside training the layer takes all of it: bilinear with antialiasing, as Pillow."""
    photo = np.random.default_rng(1).integers(0, 256, (SIDE, SIDE, 3), np.uint8)
    expected = Image.fromarray(photo).resize((SIZE, SIZE), Image.Resampling.BILINEAR)
    layer = RandomResizedCrop(SIZE, smallest=SMALLEST)
    found = jax.jit(lambda images: layer(images, training=False))(photo[None] / np.float32(255))
    np.testing.assert_allclose(255 * np.asarray(found)[0], np.asarray(expected), atol=1)


def test_seed_and_step_alone_decide_what_is_cut_and_erased() -> None:
    """There is no hidden state: a resumed run sees what the uninterrupted one would have seen."""
    for make in (
        lambda seed: make_crop(SMALLEST, seed=seed, image_size=SIZE),
        lambda seed: make_erase(1.0, seed=seed, image_size=SIZE),
    ):
        change = jax.jit(make(2**32 - 1))
        first, later = change(NOISE, np.int32(3)), change(NOISE, np.int32(4))
        np.testing.assert_array_equal(change(NOISE, np.int32(3)), first)
        assert (np.asarray(first) != np.asarray(later)).any()


def test_a_share_of_the_images_has_one_gray_rectangle() -> None:
    """All else is as it was; each side is 14% to 57% of the image's, to a pixel."""
    erase = make_erase(0.25, seed=42, image_size=SIZE)
    assert erase is not None
    change = jax.jit(erase)
    found = np.concatenate([change(NOISE, np.int32(step)) for step in range(4)])
    erased = found != np.concatenate([NOISE] * 4)
    touched = erased.any(axis=(1, 2, 3))
    assert 40 <= touched.sum() <= 88  # 64 of 256 are expected, with a deviation of 7
    assert set(found[erased]) == {np.float32(GRAY)}
    for mask in erased[touched]:
        rows, columns = mask.any(axis=(1, 2)), mask.any(axis=(0, 2))
        assert mask.sum() == 3 * rows.sum() * columns.sum()
        assert {2, 3, 4, 5, 6, 7, 8, 9, 10} >= {int(rows.sum()), int(columns.sum())}


def test_erasing_is_keras_own_layer(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a fixed probability, which a single number would draw from 0 on for each image."""
    made: list[tuple[object, ...]] = []
    real = keras.layers.RandomErasing
    monkeypatch.setattr(
        keras.layers, "RandomErasing", lambda *a, **k: made.append(a) or real(*a, **k)
    )
    make_erase(0.3, seed=0, image_size=SIZE)
    assert made == [((0.3, 0.3),)]
