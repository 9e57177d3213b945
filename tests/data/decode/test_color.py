"""Pixels of every mode and profile come out as a person sees them."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms

from kvgg_jax.data.decode import color
from kvgg_jax.data.decode.image import decode
from support.hostile import element_bomb
from support.images import (
    BEST,
    BLUE,
    P3,
    RED,
    SRGB,
    WHITE,
    Pixels,
    encode,
    flat,
    grey_paper_profile,
    linear_grey_profile,
    message,
    noise,
    p3_profile,
    png,
    tiff,
    write,
)


def p3_to_srgb(color: tuple[int, int, int]) -> list[int]:
    """The same color by its formula: decode, one matrix, encode (IEC 61966-2-1)."""
    encoded = np.array(color) / 255
    linear = np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)
    linear = np.clip(np.linalg.solve(SRGB, P3 @ linear), 0, 1)
    encoded = np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)
    return [round(value) for value in encoded * 255]


def only_color(pixels: Pixels) -> list[int]:
    """The one color of a flat image."""
    assert pixels.dtype == np.uint8
    assert pixels.ndim == 3
    assert (pixels == pixels[0, 0]).all()
    return [int(value) for value in pixels[0, 0]]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file name that claims nothing."""
    return tmp_path / "photo"


def palette_image() -> Image.Image:
    image = Image.new("P", (16, 16), 1)
    image.putpalette([*WHITE, 10, 20, 30, *RED])
    return image


SAVED: dict[str, tuple[Image.Image, str, dict[str, Any], list[int]]] = {
    "grey": (flat("L", 100), "PNG", {}, [100, 100, 100]),
    "1-bit white": (flat("1", 1), "PNG", {}, [255, 255, 255]),
    "1-bit TIFF": (flat("1", 0), "TIFF", {"compression": "group4"}, [0, 0, 0]),
    "palette": (palette_image(), "PNG", {}, [10, 20, 30]),
    "palette, opaque entry": (palette_image(), "PNG", {"transparency": 0}, [10, 20, 30]),
    "palette, clear entry": (palette_image(), "PNG", {"transparency": 1}, [255, 255, 255]),
    "palette, half entry": (
        palette_image(),
        "PNG",
        {"transparency": b"\xff\x80"},
        [132, 137, 142],
    ),
    "GIF, clear entry": (palette_image(), "GIF", {"transparency": 1}, [255, 255, 255]),
    "alpha 0": (flat("RGBA", (9, 9, 9, 0)), "PNG", {}, [255, 255, 255]),
    "alpha 1/5": (flat("RGBA", (200, 100, 50, 51)), "PNG", {}, [244, 224, 214]),
    "alpha 1/5, WebP": (
        flat("RGBA", (200, 100, 50, 51)),
        "WEBP",
        BEST["WEBP"],
        [244, 224, 214],
    ),
    "alpha 1/5, TIFF": (flat("RGBA", (200, 100, 50, 51)), "TIFF", {}, [244, 224, 214]),
    "grey and alpha": (flat("LA", (100, 51)), "PNG", {}, [224, 224, 224]),
    "RGB, clear color": (flat("RGB", RED), "PNG", {"transparency": RED}, [255, 255, 255]),
    "RGB, other clear": (flat("RGB", RED), "PNG", {"transparency": BLUE}, [255, 0, 0]),
    "grey, clear value": (flat("L", 100), "PNG", {"transparency": 100}, [255, 255, 255]),
    "16-bit PNG": (flat("I;16", 100 * 257), "PNG", {}, [100, 100, 100]),
    "16-bit TIFF, LZW": (flat("I;16", 100 * 257), "TIFF", {"compression": "tiff_lzw"}, [100] * 3),
    "16-bit TIFF, MM": (flat("I;16B", 100 * 257), "TIFF", {}, [100, 100, 100]),
    "CMYK TIFF": (flat("CMYK", (255, 0, 0, 0)), "TIFF", {}, [0, 255, 255]),
    "CMYK JPEG": (flat("CMYK", (0, 0, 255, 0)), "JPEG", {"quality": 100}, [255, 255, 0]),
    "grey JPEG": (flat("L", 100), "JPEG", {}, [100, 100, 100]),
}


@pytest.mark.parametrize("name", SAVED)
def test_every_mode_comes_out_as_it_is_seen(name: str, file: Path) -> None:
    """Grey, palette, alpha over white, clear colors, 16 bits, CMYK: as a viewer shows them."""
    image, kind, options, expected = SAVED[name]
    assert only_color(decode(write(file, encode(image, kind, **options)))) == expected


RAW: dict[str, tuple[bytes, list[int]]] = {
    "PNG 2-bit, clear": (png((4, 4), 2, 0, b"\x55", clear=b"\0\1"), [255, 255, 255]),
    "PNG 4-bit": (png((2, 2), 4, 0, b"\x33"), [51, 51, 51]),
    "PNG 4-bit, clear": (png((2, 2), 4, 0, b"\x33", clear=b"\0\3"), [255, 255, 255]),
    "PNG 4-bit, other": (png((2, 2), 4, 0, b"\x33", clear=b"\0\4"), [51, 51, 51]),
    "PNG 16-bit, clear": (png((1, 1), 16, 0, b"\x02\xbc", clear=b"\x02\xbc"), [255, 255, 255]),
    "PNG 16-bit RGB": (png((1, 1), 16, 2, b"\x64\x64\x32\x32\x0a\x0a"), [100, 50, 10]),
    "PNG 16-bit RGB, clear": (png((1, 1), 16, 2, b"dd22\n\n", clear=b"dd22\n\n"), [255, 255, 255]),
    "TIFF La": (tiff(b"\x14\x33", bits=(8, 8), photometric=1, tags={338: 1}), [224, 224, 224]),
    "TIFF RGBa": (
        tiff(b"\x28\x14\x0a\x33", bits=(8,) * 4, photometric=2, tags={338: 1}),
        [244, 224, 214],
    ),
    "TIFF white is 0": (tiff(b"\x64", bits=(8,), photometric=0), [155, 155, 155]),
    "TIFF 16, white is 0": (tiff(b"\x64\x64", bits=(16,), photometric=0), [155, 155, 155]),
    "TIFF 12 bits": (tiff(b"\xff\xff\xff", bits=(12,), photometric=1), [255, 255, 255]),
    "TIFF signed 16": (tiff(b"\x64\x64", bits=(16,), photometric=1, sample_format=2), [100] * 3),
    "TIFF signed 16, MM": (
        tiff(b"\x64\x64", bits=(16,), photometric=1, sample_format=2, order=">"),
        [100, 100, 100],
    ),
    "TIFF YCbCr grey": (tiff(b"\x64\x80\x80", bits=(8,) * 3, photometric=6), [100, 100, 100]),
    "TIFF YCbCr red": (tiff(b"\x4c\x55\xff", bits=(8,) * 3, photometric=6), [254, 0, 0]),
    "TIFF LAB white": (tiff(b"\xff\0\0", bits=(8,) * 3, photometric=8), [254, 255, 254]),
    "TIFF LAB grey": (tiff(b"\x80\0\0", bits=(8,) * 3, photometric=8), [119, 119, 119]),
}


@pytest.mark.parametrize("name", RAW)
def test_rare_pixels_come_out_as_they_are_seen(name: str, file: Path) -> None:
    """What scanners and image editors write and Pillow's own writer does not."""
    content, expected = RAW[name]
    assert only_color(decode(write(file, content))) == expected


@pytest.mark.parametrize("pixel", [struct.pack("<f", 0.5), struct.pack("<i", 70000)])
def test_32_bit_pixels_are_refused(pixel: bytes, file: Path) -> None:
    """No value of theirs is agreed to be white, so there is no right image."""
    is_float = pixel == struct.pack("<f", 0.5)
    content = tiff(pixel, bits=(32,), photometric=1, sample_format=3 if is_float else 2)
    assert message(lambda: decode(write(file, content))) == (
        f"{file}: has 32-bit pixels (mode {'F' if is_float else 'I'}), "
        "whose white value is unknown. Save it with 8 or 16 bits per channel."
    )


def test_a_wide_gamut_photo_is_converted_to_srgb(file: Path) -> None:
    """Display P3 (120, 80, 60) is another brown in sRGB, by the formula within rounding."""
    write(file, encode(flat("RGB", (120, 80, 60)), "PNG", icc_profile=p3_profile()))
    expected = p3_to_srgb((120, 80, 60))
    assert expected != [120, 80, 60]
    assert np.abs(np.subtract(only_color(decode(file)), expected)).max() <= 1


def test_a_profile_keeps_alpha_and_palette(file: Path) -> None:
    """Colors are converted first, then laid over white; palette entries count as colors."""
    write(file, encode(flat("RGB", (120, 80, 60)), "PNG", icc_profile=p3_profile()))
    converted = np.array(only_color(decode(file)))
    image = flat("RGBA", (120, 80, 60, 51))
    write(file, encode(image, "PNG", icc_profile=p3_profile()))
    expected = 255 - (255 - converted) / 5
    assert np.abs(only_color(decode(file)) - expected).max() <= 1
    image = Image.new("P", (16, 16), 0)
    image.putpalette([120, 80, 60])
    write(file, encode(image, "PNG", icc_profile=p3_profile()))
    assert only_color(decode(file)) == converted.tolist()


def test_an_srgb_profile_changes_no_bit(file: Path) -> None:
    """Nearly every photo has one; it must not cost a rounding."""
    icc = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert (decode(write(file, encode(noise(32), "PNG", icc_profile=icc))) == noise(32)).all()


@pytest.mark.parametrize("icc", [b"", b"junk", p3_profile()[:200], p3_profile()[:128] + bytes(80)])
def test_a_broken_profile_is_taken_for_srgb(icc: bytes, file: Path) -> None:
    """As viewers do: the pixels stay as they are."""
    assert (decode(write(file, encode(noise(16), "TIFF", icc_profile=icc))) == noise(16)).all()


def test_a_grey_profile_is_converted(file: Path) -> None:
    """Linear 55/255 is sRGB 128 (IEC 61966-2-1), in 8 bits and in 16."""
    write(file, encode(flat("L", 55), "PNG", icc_profile=linear_grey_profile()))
    assert only_color(decode(file)) == [128, 128, 128]
    write(file, encode(flat("I;16", 55 * 257), "PNG", icc_profile=linear_grey_profile()))
    assert only_color(decode(file)) == [128, 128, 128]


def test_a_profile_for_other_pixels_is_ignored(file: Path) -> None:
    """An RGB profile in a grey image says nothing about grey."""
    write(file, encode(flat("L", 55), "PNG", icc_profile=p3_profile()))
    assert only_color(decode(file)) == [55, 55, 55]


@pytest.mark.parametrize("kind", ["TIFF", "JPEG"])
def test_cmyk_goes_through_its_own_profile(kind: str, file: Path) -> None:
    """L* = 50.2 is sRGB 119 (CIE 15); without the profile cyan would be (0, 255, 255)."""
    image = flat("CMYK", (255, 0, 0, 0))
    write(file, encode(image, kind, icc_profile=grey_paper_profile()))
    assert only_color(decode(file)) == [119, 119, 119]


@pytest.mark.parametrize("by", [1, 2, 3])
def test_a_large_scan_is_averaged_to_grey(
    by: int, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A half or a third of each side, also where that leaves a rest, and across bands."""
    monkeypatch.setattr(color, "LARGE", 1800 * 5 // by**2)
    bits = np.random.default_rng(0).random((1800, 5)) < 0.5
    write(file, encode(Image.fromarray(bits), "PNG"))
    parts = [
        [255 * bits[y : y + by, x : x + by].mean() for x in range(0, 5, by)]
        for y in range(0, 1800, by)
    ]
    assert np.abs(decode(file)[..., 0] - np.array(parts)).max() <= 0.5


@pytest.mark.parametrize(("clear", "seen"), [(b"\0\0", 255), (b"\0\1", 0)], ids=["black", "white"])
@pytest.mark.parametrize("large", [True, False])
def test_a_large_scan_may_be_clear_in_part(
    clear: bytes, seen: int, large: bool, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A black image, over white: as a small one is seen."""
    monkeypatch.setattr(color, "LARGE", 100 if large else 256)
    write(file, png((16, 16), 1, 0, b"\0\0", clear=clear))
    assert set(decode(file).ravel()) == {seen}


def test_a_profile_of_many_elements_is_taken_for_none(file: Path) -> None:
    """Each would be computed for every color: 7,000 of them took 6 seconds for 16 pixels."""
    for count, is_used in ((1, True), (16, True), (17, False), (7000, False)):
        write(file, encode(flat("RGB", RED), "PNG", icc_profile=element_bomb(count)))
        assert (only_color(decode(file)) != [*RED]) is is_used
