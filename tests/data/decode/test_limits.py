"""Small files that would take much memory or time are refused by their header."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from kvgg_jax.core.errors import ImageError
from kvgg_jax.data.decode.image import decode, load_bytes
from support.images import (
    RED,
    encode,
    flat,
    message,
    noise,
    png,
    tiff,
    write,
)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file name that claims nothing."""
    return tmp_path / "photo"


def test_an_oversized_image_is_refused_by_its_header(file: Path) -> None:
    """No pixel of it is there to decode; the message gives size and limit."""
    content = png((20_000, 10_001), 8, 2, b"")
    assert message(lambda: decode(write(file, content))) == (
        f"{file}: has 20000 x 10001 pixels; the limit is 200000000 in total. Scale it down."
    )


def test_an_oversized_tile_is_refused(file: Path) -> None:
    """A TIFF of 8 x 8 may ask for tiles that fill the memory."""
    tags = {322: 65536, 323: 65536, 324: 256, 325: 64}
    content = tiff(b"\0", bits=(8,), photometric=1, tags=tags)
    assert message(lambda: decode(write(file, content))) == (
        f"{file}: has 65536 x 65536 pixels; the limit is 200000000 in total. Scale it down."
    )


def test_a_large_image_within_the_limit_brings_no_warning(file: Path) -> None:
    """Pillow alone warns from 90 megapixels on; here 196 get as far as their missing pixels."""
    content = png((14_000, 14_000), 8, 0, b"") + bytes(2_000_000)  # as long as a photo of that size
    assert message(lambda: decode(write(file, content))) == (
        f"{file}: is a PNG file, truncated or damaged (image file is truncated (0 bytes not "
        "processed)). Replace or remove it."
    )


def test_pillow_s_own_limit_is_that_of_the_host(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It does not change what is read here; where Pillow applies it, the message says so."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    for kind in ("PNG", "JPEG", "BMP"):
        assert decode(write(file, encode(noise(16), kind))).shape == (16, 16, 3)
    assert message(lambda: decode(write(file, encode(noise(16), "WEBP")))) == (
        f"{file}: is too large (Image size (256 pixels) exceeds limit of 20 pixels, could be "
        "decompression bomb DOS attack.). Replace or remove it."
    )


def test_a_server_can_have_a_lower_limit_of_pixels() -> None:
    """The message names it."""
    content = encode(flat("RGB", RED, (20, 10)), "PNG")
    assert load_bytes(content, 8, name="a.png", max_pixels=200).shape == (8, 8, 3)
    with pytest.raises(ImageError, match=r"^a\.png: has 20 x 10 pixels; the limit is 199 in total"):
        load_bytes(content, 8, name="a.png", max_pixels=199)
