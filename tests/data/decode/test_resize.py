"""Squares of photos of any shape: whole and squashed, their middle, or whole with gray beside."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps

from kvgg_jax.core.tables.data import Resize
from kvgg_jax.data.decode.image import load, load_square
from kvgg_jax.data.decode.resize import GRAY, box_of, to_square
from support.images import RED, STORED, corners, encode, noise, soft, write

WAYS = ("squash", "crop", "pad")
SHAPES = [(64, 64), (97, 64), (64, 97), (33, 200), (16, 16), (16, 9), (5, 16), (1000, 40)]


def drawn(width: int, height: int) -> Image.Image:
    """Noise, so that no two ways of sampling it agree by chance."""
    pixels = np.random.default_rng(3).integers(0, 256, (height, width, 3), np.uint8)
    return Image.fromarray(pixels)


@pytest.mark.parametrize("shape", SHAPES)
def test_each_way_is_what_pillow_does_under_another_name(shape: tuple[int, int]) -> None:
    """So that the three can be had elsewhere, to the bit: docs/export.md names these."""
    photo, square, how = drawn(*shape), (16, 16), Image.Resampling.BILINEAR
    expected = {
        "squash": photo.resize(square, how),
        "crop": ImageOps.fit(photo, square, how),
        "pad": ImageOps.pad(photo, square, how, color=GRAY),
    }
    for resize in WAYS:
        made = to_square(photo, 16, resize)
        assert (made.mode, made.size) == ("RGB", square)
        np.testing.assert_array_equal(np.asarray(made), np.asarray(expected[resize]))


@pytest.mark.parametrize("resize", WAYS)
@pytest.mark.parametrize("side", [16, 32])
def test_a_square_photo_gives_the_same_square_each_way(side: int, resize: Resize) -> None:
    """Of the right size the photo itself."""
    photo = Image.fromarray(noise(side))
    np.testing.assert_array_equal(to_square(photo, 16, resize), to_square(photo, 16, "squash"))
    if side == 16:
        np.testing.assert_array_equal(to_square(photo, 16, resize), photo)


@pytest.mark.parametrize("shape", [(1000, 1), (1, 1000)])
def test_the_thinnest_photo_is_seen(shape: tuple[int, int]) -> None:
    """Padded, it keeps a row of its own; in its middle there is one pixel."""
    photo = Image.new("RGB", shape, RED)
    padded = np.asarray(to_square(photo, 16, "pad"))
    assert (padded == RED).all(axis=-1).sum() == 16
    assert (padded == GRAY).all(axis=-1).sum() == 15 * 16
    assert (np.asarray(to_square(photo, 16, "crop")) == RED).all()


def test_quarters_show_what_is_left_out_and_what_is_beside() -> None:
    """Of a photo twice as wide as high: half of each quarter, or gray above and below."""
    photo = Image.fromarray(corners(16, 32))
    np.testing.assert_array_equal(to_square(photo, 16, "crop"), corners(16, 16))
    padded = np.asarray(to_square(photo, 16, "pad"))
    assert (padded[:4] == GRAY).all()
    assert (padded[12:] == GRAY).all()
    np.testing.assert_array_equal(
        padded[[4, 4, 11, 11], [0, 15, 0, 15]], corners(2, 2).reshape(4, 3)
    )


@pytest.mark.parametrize("resize", WAYS)
@pytest.mark.parametrize("orientation", STORED)
def test_a_photo_is_turned_upright_before(orientation: int, resize: Resize, tmp_path: Path) -> None:
    """Else the wrong sides would be cut, or padded."""
    upright, exif = soft(64)[:40], Image.Exif()
    exif[0x0112] = orientation
    stored = np.ascontiguousarray(STORED[orientation](upright))
    file = write(tmp_path / "x.png", encode(stored, "PNG", exif=exif))
    expected = to_square(Image.fromarray(upright), 16, resize)
    np.testing.assert_array_equal(load(file, 16, resize), expected)


@pytest.mark.parametrize(
    ("resize", "orientation", "photo"),
    [
        ("squash", 1, (800, 100)),  # both sides keep 96
        ("crop", 1, (800, 100)),  # the short one does
        ("pad", 1, (200, 25)),  # the long one does
        ("pad", 6, (25, 200)),
    ],
)
def test_a_jpeg_is_decoded_as_small_as_its_square_allows(
    resize: Resize, orientation: int, photo: tuple[int, int]
) -> None:
    """With one and a half times the pixels that are needed, so that the square hardly changes."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    pixels = np.asarray(Image.fromarray(soft(256)).resize((1600, 200)))
    content = encode(pixels, "JPEG", exif=exif, quality=95)
    square = load_square(content, 64, resize, name="x")
    assert square.photo == photo
    whole = Image.fromarray(np.rot90(pixels, -1) if orientation == 6 else pixels)
    off = np.abs(square.pixels.astype(int) - np.asarray(to_square(whole, 64, resize)))
    assert off.mean() < 1


@given(st.tuples(st.integers(1, 500), st.integers(1, 500)), st.integers(1, 64))
def test_the_box_of_a_photo_is_around_the_middle_of_its_square(
    photo: tuple[int, int], size: int
) -> None:
    """Squashed it is the square, padded it lies within and touches, cropped it lies around."""
    assert box_of(photo, size, "squash") == (0, 0, size, size)
    for resize in ("crop", "pad"):
        left, top, right, bottom = box_of(photo, size, resize)
        assert left + right == pytest.approx(size)
        assert top + bottom == pytest.approx(size)
        assert (right - left) * photo[1] == pytest.approx((bottom - top) * photo[0])
        assert (max if resize == "crop" else min)(left, top) == pytest.approx(0)
