"""A heat map as pixels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kvgg_jax.inference.heatmap import (
    COVER,
    colored,
    draw_explanation,
    enlarge,
    layer,
    over_photo,
    overlay,
    spread,
)

GREY = np.full((8, 8, 3), 100, np.uint8)


def heat(*values: float) -> np.ndarray:
    """A map of zeros that begins with `values`."""
    map_ = np.zeros((8, 8), np.float32)
    map_.flat[: len(values)] = values
    return map_


def test_where_there_is_no_heat_the_image_stays() -> None:
    """And all of it where there is none at all."""
    covered = overlay(GREY, heat(3.0))
    np.testing.assert_array_equal(covered[1:], GREY[1:])
    assert (covered[0, 0] != GREY[0, 0]).any()
    np.testing.assert_array_equal(overlay(GREY, heat()), GREY)


def test_for_is_red_and_against_is_blue_by_the_same_scale() -> None:
    """And the middle is white, or black where nothing can be against."""
    red, blue, white = colored(heat(2.0, -2.0))[0, :3].astype(int)
    assert red[0] > red[2] + 50
    assert blue[2] > blue[0] + 50
    assert white.min() > 240
    assert colored(heat(2.0))[0, 1].max() < 10


@pytest.mark.parametrize("map_", [heat(1.0), heat(1.0, -1.0), heat()])
def test_an_explanation_is_drawn_whatever_the_class_is_called(
    tmp_path: Path, map_: np.ndarray
) -> None:
    """Three panels in one PNG."""
    draw_explanation(GREY, map_, tmp_path / "x.png", title="r\udce9d $x_ 中", method="Grad-CAM")
    with Image.open(tmp_path / "x.png") as drawn:
        assert (drawn.format, drawn.size) == ("PNG", (1080, 420))
    assert len(list(tmp_path.iterdir())) == 1


def test_a_layer_over_an_image_is_the_overlay() -> None:
    """A browser lays it over the photo, whatever that is: opacity stands in the fourth channel."""
    map_ = heat(3.0, 1.0, 2.0)
    made = layer(map_)
    assert (made.shape, made.dtype) == ((8, 8, 4), np.uint8)
    assert made[..., 3].max() == round(255 * COVER)
    share = made[..., 3:] / 255
    laid = GREY * (1 - share) + made[..., :3] * share
    assert np.abs(laid - overlay(GREY, map_)).max() <= 1.5


def test_a_map_is_enlarged_smoothly() -> None:
    """Its corners stay, and nothing exceeds them."""
    small = np.array([[0.0, 1.0], [2.0, 3.0]], np.float32)
    large = enlarge(small, 8)
    assert (large.shape, large.dtype) == ((8, 8), np.float32)
    assert [large[0, 0], large[0, -1], large[-1, 0], large[-1, -1]] == [0, 1, 2, 3]
    assert (np.diff(large, axis=0) >= 0).all()
    assert (np.diff(large, axis=1) >= 0).all()


def test_a_cell_lies_over_its_own_pixels() -> None:
    """Of 60 pixels the four poolings leave 12 over: three cells of 16, and nothing beyond."""
    heat = np.zeros((3, 3), np.float32)
    heat[2, 0] = 1
    over = spread(heat, 60, cell=16)
    assert over.shape == (60, 60)
    assert np.unravel_index(over.argmax(), over.shape)[0] in range(32, 48)
    assert not over[48:].any()
    assert not over[:, 48:].any()
    assert over[40, 7] == pytest.approx(1, abs=0.05)


def square_layer() -> np.ndarray:
    """8 x 8, opaque; each row and column is another color."""
    rows, columns = np.indices((8, 8), np.uint8)
    return np.stack([rows, columns, rows * columns, np.full((8, 8), 255, np.uint8)], axis=-1)


def test_a_layer_of_a_squashed_photo_is_stretched_as_it_is() -> None:
    """Whatever the shape of the photo."""
    np.testing.assert_array_equal(over_photo(square_layer(), (900, 20), "squash"), square_layer())


def test_a_layer_of_the_middle_of_a_photo_is_clear_where_nothing_was_seen() -> None:
    """Left and right of a photo twice as wide as high, which has half as many rows."""
    whole = over_photo(square_layer(), (40, 20), "crop")
    assert whole.shape == (4, 8, 4)
    assert not whole[:, [0, 1, 6, 7]].any()
    assert (whole[:, 2:6, 3] == 255).all()
    np.testing.assert_array_equal(whole[:, 2:6, :2], square_layer()[1::2, 1::2, :2])


def test_a_layer_of_a_padded_photo_is_that_of_the_photo_alone() -> None:
    """Without the rows above and below it, or the columns beside it."""
    np.testing.assert_array_equal(over_photo(square_layer(), (40, 20), "pad"), square_layer()[2:6])
    high = over_photo(square_layer(), (20, 40), "pad")
    np.testing.assert_array_equal(high, square_layer()[:, 2:6])
