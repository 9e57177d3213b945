"""What a file says of itself, and what is odd about that."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from kvgg_jax.data.audit.headers import Header, header
from kvgg_jax.data.decode.image import load


@pytest.mark.parametrize(
    ("name", "mode", "size", "options", "expected"),
    [
        ("a.PNG", "RGB", (40, 32), {}, Header("PNG", "RGB", 40, 32)),
        ("a.jpeg", "L", (32, 32), {}, Header("JPEG", "L", 32, 32)),
        ("a.tif", "CMYK", (95, 32), {}, Header("TIFF", "CMYK", 95, 32)),
        (
            "a.jpg",
            "P",
            (32, 32),
            {"format": "PNG"},
            Header("PNG", "P", 32, 32, ("is a PNG file with another suffix",)),
        ),
        (
            "a.gif",
            "RGB",
            (32, 32),
            {"save_all": True, "append_images": [Image.new("RGB", (32, 32), "red")]},
            Header("GIF", "P", 32, 32, ("has several frames; only the first is used",)),
        ),
        (
            "a.bmp",
            "RGB",
            (32, 96),
            {},
            Header("BMP", "RGB", 32, 96, ("has 32 x 96 pixels and is resized to a square",)),
        ),
        (
            "a.webp",
            "RGB",
            (31, 40),
            {},
            Header(
                "WEBP",
                "RGB",
                31,
                40,
                ("has 31 x 40 pixels, fewer than any network here accepts",),
            ),
        ),
    ],
)
def test_a_header_tells_format_mode_size_and_what_is_odd(
    tmp_path: Path, name: str, mode: str, size: tuple[int, int], options: dict, expected: Header
) -> None:
    """By content; the suffix is only compared with it."""
    Image.new(mode, size).save(tmp_path / name, **options)
    assert header(tmp_path / name) == expected
    assert expected.size == f"{size[0]} x {size[1]}"


def test_a_photo_of_a_phone_that_brings_a_second_picture_is_a_jpeg(tmp_path: Path) -> None:
    """Pillow calls it MPO; nothing is odd about it."""
    small = Image.new("RGB", (32, 32), "red")
    first = Image.new("RGB", (64, 48))
    first.save(tmp_path / "a.jpg", format="MPO", save_all=True, append_images=[small])
    assert header(tmp_path / "a.jpg") == Header("JPEG", "RGB", 64, 48)


def test_a_second_frame_that_is_damaged_is_a_second_frame(tmp_path: Path) -> None:
    """The first is a sound picture, so the file is trained on, and must be judged and checked."""
    file = tmp_path / "a.gif"
    frames = [Image.new("RGB", (40, 40), color) for color in ("red", "blue")]
    frames[0].save(file, save_all=True, append_images=frames[1:])
    whole = file.read_bytes()
    for size in range(len(whole) // 2 + 12, len(whole)):
        file.write_bytes(whole[:size])
        assert load(file, 32).shape == (32, 32, 3)
        assert header(file).odd == ("has several frames; only the first is used",)
