"""One decode for all: every kind of file as a person sees it, or one clear ImageError."""

from __future__ import annotations

import os
import struct
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

from kvgg_jax.core.errors import ImageError
from kvgg_jax.data.decode import color
from kvgg_jax.data.decode.file_types import FORMATS
from kvgg_jax.data.decode.image import SUFFIXES, decode, load, load_bytes, looks_like_image
from support.hostile import KINDS
from support.images import (
    BEST,
    BLUE,
    P3,
    RED,
    SRGB,
    WHITE,
    Pixels,
    corners,
    encode,
    flat,
    grey_paper_profile,
    linear_grey_profile,
    noise,
    p3_profile,
    png,
    soft,
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
    """The one color of a flat picture."""
    assert pixels.dtype == np.uint8
    assert pixels.ndim == 3
    assert (pixels == pixels[0, 0]).all()
    return [int(value) for value in pixels[0, 0]]


def message(call: Callable[[], object]) -> str:
    with pytest.raises(ImageError) as caught:
        call()
    return str(caught.value)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file name that claims nothing."""
    return tmp_path / "photo"


# Formats


@pytest.mark.parametrize("kind", FORMATS)
def test_a_format_is_known_by_its_content(kind: str, tmp_path: Path) -> None:
    """Each format is read under another format's suffix; a lossless one to the last bit."""
    picture = corners(32, 64)  # quarters on JPEG's grid of 8 pixels: no ringing at their edges
    suffix = ".png" if kind != "PNG" else ".jpg"
    path = write(tmp_path / f"x{suffix}", encode(picture, kind, **BEST[kind]))
    assert looks_like_image(path)
    decoded = decode(path)
    assert decoded.dtype == np.uint8
    assert decoded.shape == picture.shape
    off = np.abs(decoded.astype(int) - picture).max()
    assert off <= (4 if kind == "JPEG" else 0)
    assert decoded.flags.writeable


def test_suffixes_are_lower_case_and_dotted() -> None:
    """`str.endswith` takes them as they are."""
    assert SUFFIXES == (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".webp", ".tif", ".tiff")


@pytest.mark.parametrize("content", [b"", b"BMW prices in 2024", b"RIFFxxxxWAVE", b"%PDF-1.7"])
def test_other_content_does_not_look_like_an_image(content: bytes, tmp_path: Path) -> None:
    """Whatever the suffix says; two letters "BM" are not a BMP."""
    assert not looks_like_image(write(tmp_path / "x.jpg", content))


def test_what_is_no_regular_file_does_not_look_like_an_image(tmp_path: Path) -> None:
    """A folder is not, nor is a pipe, which is not waited for."""
    assert not looks_like_image(tmp_path)
    os.mkfifo(tmp_path / "pipe.jpg")
    assert not looks_like_image(tmp_path / "pipe.jpg")


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF"])
def test_of_several_frames_the_first_counts(kind: str, file: Path) -> None:
    """An animation, or a TIFF of pages, is its first picture."""
    more = [flat("RGB", BLUE)]
    write(file, encode(flat("RGB", RED), kind, save_all=True, append_images=more))
    assert np.abs(decode(file).astype(int) - RED).max() <= 2


def test_a_gif_with_bad_later_frames_still_reads(file: Path) -> None:
    """Only the first frame has to be sound."""
    frames = [Image.fromarray(noise(32)), Image.fromarray(noise(32)[::-1])]
    first = encode(frames[0], "GIF")
    whole = encode(frames[0], "GIF", save_all=True, append_images=frames[1:])
    expected = decode(write(file, first))
    assert (decode(write(file, whole[: len(first) + 300])) == expected).all()


def test_a_phone_s_two_picture_jpeg_reads_as_jpeg(file: Path) -> None:
    """MPO: a JPEG with a second picture behind it, at full and at reduced size."""
    picture = Image.fromarray(soft(256))
    content = encode(picture, "MPO", save_all=True, append_images=[flat("RGB", RED)])
    write(file, content)
    assert np.abs(decode(file).astype(int) - soft(256)).max() < 12
    assert decode(file, at_least=32).shape == (64, 64, 3)


# Modes


def palette_picture() -> Image.Image:
    picture = Image.new("P", (16, 16), 1)
    picture.putpalette([*WHITE, 10, 20, 30, *RED])
    return picture


SAVED: dict[str, tuple[Image.Image, str, dict[str, Any], list[int]]] = {
    "grey": (flat("L", 100), "PNG", {}, [100, 100, 100]),
    "1-bit white": (flat("1", 1), "PNG", {}, [255, 255, 255]),
    "1-bit TIFF": (flat("1", 0), "TIFF", {"compression": "group4"}, [0, 0, 0]),
    "palette": (palette_picture(), "PNG", {}, [10, 20, 30]),
    "palette, opaque entry": (palette_picture(), "PNG", {"transparency": 0}, [10, 20, 30]),
    "palette, clear entry": (palette_picture(), "PNG", {"transparency": 1}, [255, 255, 255]),
    "palette, half entry": (
        palette_picture(),
        "PNG",
        {"transparency": b"\xff\x80"},
        [132, 137, 142],
    ),
    "GIF, clear entry": (palette_picture(), "GIF", {"transparency": 1}, [255, 255, 255]),
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
    picture, kind, options, expected = SAVED[name]
    assert only_color(decode(write(file, encode(picture, kind, **options)))) == expected


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
    """No value of theirs is agreed to be white, so there is no right picture."""
    is_float = pixel == struct.pack("<f", 0.5)
    content = tiff(pixel, bits=(32,), photometric=1, sample_format=3 if is_float else 2)
    assert message(lambda: decode(write(file, content))) == (
        f"{file}: has 32-bit pixels (mode {'F' if is_float else 'I'}), whose white value is "
        "unknown. Save it with 8 or 16 bits per channel."
    )


# Orientation

STORED: dict[int, Callable[[Pixels], Pixels]] = {  # EXIF 2.32: where row 0 and column 0 are seen
    1: lambda upright: upright,  # top, left
    2: lambda upright: upright[:, ::-1],  # top, right
    3: lambda upright: upright[::-1, ::-1],  # bottom, right
    4: lambda upright: upright[::-1],  # bottom, left
    5: lambda upright: upright.swapaxes(0, 1),  # left, top
    6: np.rot90,  # right, top
    7: lambda upright: upright[::-1, ::-1].swapaxes(0, 1),  # right, bottom
    8: lambda upright: np.rot90(upright, -1),  # left, bottom
}


@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_every_exif_orientation_gives_the_same_upright_picture(
    kind: str, orientation: int, file: Path
) -> None:
    """A phone held any way shows the same picture, at full and at reduced size."""
    upright = corners(32, 64)
    stored = np.ascontiguousarray(STORED[orientation](upright))
    exif = Image.Exif()
    exif[0x0112] = orientation
    write(file, encode(stored, kind, exif=exif, **BEST[kind]))
    assert np.abs(decode(file).astype(int) - upright).max() <= (4 if kind == "JPEG" else 0)
    small = decode(file, at_least=8)
    assert small.shape == ((16, 32, 3) if kind == "JPEG" else upright.shape)
    assert np.abs(load(file, 2).astype(int) - corners(2, 2)).mean() < 45  # blurred, not turned


@pytest.mark.parametrize("value", [0, 9, 77])
def test_an_orientation_that_means_nothing_turns_nothing(value: int, file: Path) -> None:
    """Only 2 to 8 turn a picture."""
    exif = Image.Exif()
    exif[0x0112] = value
    assert (decode(write(file, encode(corners(), "PNG", exif=exif))) == corners()).all()


def test_broken_exif_is_no_exif(file: Path) -> None:
    """Viewers show such a photo as it lies; so does decode."""
    content = encode(corners(), "PNG", exif=b"Exif\0\0MM\0\x2anonsense")
    assert (decode(write(file, content)) == corners()).all()


# Color


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
    picture = flat("RGBA", (120, 80, 60, 51))
    write(file, encode(picture, "PNG", icc_profile=p3_profile()))
    expected = 255 - (255 - converted) / 5
    assert np.abs(only_color(decode(file)) - expected).max() <= 1
    picture = Image.new("P", (16, 16), 0)
    picture.putpalette([120, 80, 60])
    write(file, encode(picture, "PNG", icc_profile=p3_profile()))
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
    """An RGB profile in a grey picture says nothing about grey."""
    write(file, encode(flat("L", 55), "PNG", icc_profile=p3_profile()))
    assert only_color(decode(file)) == [55, 55, 55]


@pytest.mark.parametrize("kind", ["TIFF", "JPEG"])
def test_cmyk_goes_through_its_own_profile(kind: str, file: Path) -> None:
    """L* = 50.2 is sRGB 119 (CIE 15); without the profile cyan would be (0, 255, 255)."""
    picture = flat("CMYK", (255, 0, 0, 0))
    write(file, encode(picture, kind, icc_profile=grey_paper_profile()))
    assert only_color(decode(file)) == [119, 119, 119]


# Size


def test_load_squashes_to_a_square(file: Path) -> None:
    """The aspect ratio is not kept, as in image_dataset_from_directory."""
    loaded = load(write(file, encode(corners(32, 64), "PNG")), 16)
    assert loaded.dtype == np.uint8
    assert loaded.shape == (16, 16, 3)
    assert (loaded[:7, :7] == RED).all()
    assert (loaded[9:, 9:] == WHITE).all()
    assert loaded.flags.writeable


def test_load_leaves_the_right_size_alone(file: Path) -> None:
    """No resampling where there is nothing to resample."""
    assert (load(write(file, encode(noise(32), "PNG")), 32) == noise(32)).all()


def test_load_is_decode_and_one_antialiased_resize(file: Path) -> None:
    """A checkerboard of single pixels shrinks to mid grey: no pixel is skipped."""
    board = (np.indices((64, 64)).sum(axis=0) % 2 * 255).astype(np.uint8)
    loaded = load(write(file, encode(board, "PNG")), 16)
    assert np.abs(loaded.astype(int) - 127.5).max() <= 1.5


def test_a_jpeg_is_decoded_at_the_least_scale_that_keeps_one_and_a_half_times_the_size(
    file: Path,
) -> None:
    """libjpeg scales by 2, 4 and 8; both sides stay at least 1.5 times `at_least`, rounded down."""
    write(file, encode(soft(512)[:, :400], "JPEG"))
    sizes = {n: decode(file, at_least=n).shape[:2] for n in (1, 33, 34, 67, 68, 133, 134, 900)}
    assert sizes == {
        1: (64, 50),
        33: (64, 50),
        34: (128, 100),
        67: (128, 100),
        68: (256, 200),
        133: (256, 200),
        134: (512, 400),
        900: (512, 400),
    }


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0}])
def test_the_fast_path_is_close_to_the_full_decode(options: dict[str, Any], file: Path) -> None:
    """Reduced decode then resize differs from full decode then resize by 3 levels at most."""
    write(file, encode(soft(512), "JPEG", quality=90, **options))
    full = Image.fromarray(decode(file)).resize((32, 32), Image.Resampling.BILINEAR)
    off = np.abs(load(file, 32).astype(int) - np.asarray(full))
    assert off.max() <= 3
    assert off.mean() < 0.6


def test_a_grey_jpeg_is_reduced_and_a_cmyk_one_is_not(file: Path) -> None:
    """CMYK keeps its full size, so that its inks reach the profile untouched."""
    assert decode(write(file, encode(flat("L", 9, (256, 256)), "JPEG")), at_least=16).shape[0] == 32
    picture = flat("CMYK", (9, 9, 9, 9), (256, 256))
    assert decode(write(file, encode(picture, "JPEG")), at_least=16).shape[0] == 256


def test_an_oversized_picture_is_refused_by_its_header(file: Path) -> None:
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


def test_a_large_picture_within_the_limit_brings_no_warning(file: Path) -> None:
    """Pillow alone warns from 90 megapixels on; here 196 get as far as their missing pixels."""
    content = png((14_000, 14_000), 8, 0, b"") + bytes(2_000_000)  # as long as a photo of that size
    assert message(lambda: decode(write(file, content))) == (
        f"{file}: is a PNG file, truncated or damaged (image file is truncated (0 bytes not "
        "processed)). Replace or remove it."
    )


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
    """A black picture, over white: as a small one is seen."""
    monkeypatch.setattr(color, "LARGE", 100 if large else 256)
    write(file, png((16, 16), 1, 0, b"\0\0", clear=clear))
    assert set(decode(file).ravel()) == {seen}


def test_pillow_s_own_limit_is_an_image_error_too(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Should another library set it again."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    assert message(lambda: decode(write(file, encode(noise(16), "PNG")))) == (
        f"{file}: is too large (Image size (256 pixels) exceeds limit of 20 pixels, could be "
        "decompression bomb DOS attack.). Replace or remove it."
    )


# Errors


@pytest.mark.parametrize("read", [decode, looks_like_image])
def test_a_missing_file_is_named(read: Callable[[Path], object], file: Path) -> None:
    """The path is the first thing to check."""
    assert message(lambda: read(file)) == f"{file}: does not exist. Check the path."


@pytest.mark.parametrize("read", [decode, looks_like_image])
def test_an_unreadable_file_says_why(
    read: Callable[[Path], object], file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The system's reason, not a guess about the content."""
    write(file, encode(noise(16), "PNG"))

    def deny(*_: object, **__: object) -> NoReturn:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", deny)
    assert message(lambda: read(file)) == (
        f"{file}: cannot be read (Permission denied). Make it readable."
    )


def test_a_failing_disk_is_not_blamed_on_the_content(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An I/O error in the middle of a sound file."""
    write(file, encode(noise(16), "PNG"))

    def fail(*_: object, **__: object) -> NoReturn:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(Image, "open", fail)
    assert message(lambda: decode(file)) == (
        f"{file}: cannot be read (Input/output error). Make it readable."
    )


def test_a_folder_and_a_pipe_are_told_apart_from_files(tmp_path: Path) -> None:
    """Neither is opened: a pipe would wait for ever."""
    assert message(lambda: decode(tmp_path)) == (
        f"{tmp_path}: is a folder, not an image. Give the path of one file."
    )
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    assert message(lambda: decode(pipe)) == (
        f"{pipe}: is a pipe or a device, not an image file. Replace or remove it."
    )


DROP = "Replace or remove it."
FOREIGN = {
    b"": f"is empty (0 bytes). {DROP}",
    b"\xef\xbb\xbf\n<!DOCTYPE HTML><html>": f"is an HTML page, not an image. {DROP}",
    b"<html lang=en><body>404": f"is an HTML page, not an image. {DROP}",
    b"<svg xmlns='...'/>": f"is an SVG drawing, not an image. {DROP}",
    b"<?xml version='1.0'?>": f"is an XML file, not an image. {DROP}",
    b"%PDF-1.7\n%\xe2\xe3": f"is a PDF document, not an image. {DROP}",
    b"PK\x03\x04\x14\0\0\0": f"is a ZIP archive, not an image. {DROP}",
    b"version https://git-lfs": f"is text, not an image. {DROP}",
    b"\0\0\0\x18ftypheic\0\0\0\0": "is an image in HEIC, which is not supported. Convert it to "
    "JPEG or PNG.",
    b"\0\0\0\x20ftypavif\0\0\0\0": "is an image in AVIF, which is not supported. Convert it to "
    "JPEG or PNG.",
    b"\0\0\0\x18ftypcrx \0\0\0\0": "is an image in Canon's raw format, which is not supported. "
    "Convert it to JPEG or PNG.",
    b"\0\0\0\x18ftyphevc\0\0\0\0": "is an image in HEIC, which is not supported. Convert it to "
    "JPEG or PNG.",
    b"\0\0\0\x18ftypmp42\0\0\0\0": f"is a video, not an image. {DROP}",
    b"\x00\x01\x02\x03": f"is not a supported image (JPEG, PNG, BMP, GIF, WEBP, TIFF). {DROP}",
    b"\xff\xd8\xff": "is a JPEG file, truncated or damaged (its header is damaged or "
    f"unusual). {DROP}",
}


@pytest.mark.parametrize("content", FOREIGN)
def test_what_is_not_a_picture_is_called_by_its_name(content: bytes, file: Path) -> None:
    """What downloads and phones leave among photos."""
    write(file, content)
    assert message(lambda: decode(file)) == f"{file}: {FOREIGN[content]}"
    assert message(lambda: load(file, 8)) == f"{file}: {FOREIGN[content]}"


def test_a_truncated_file_says_so_in_one_line(file: Path) -> None:
    """The whole message, with Pillow's reason in brackets and as the cause."""
    write(file, encode(noise(64), "PNG")[:5000])
    with pytest.raises(ImageError) as caught:
        decode(file)
    assert str(caught.value) == (
        f"{file}: is a PNG file, truncated or damaged (image file is truncated). {DROP}"
    )
    assert isinstance(caught.value.__cause__, OSError)


@pytest.mark.parametrize("share", [0.05, 0.3, 0.6, 0.95])
@pytest.mark.parametrize(
    ("kind", "options"),
    [
        *[(kind, {}) for kind in FORMATS],
        ("JPEG", {"progressive": True}),
        ("TIFF", {"compression": "tiff_lzw"}),
    ],
)
def test_a_truncated_file_is_never_half_a_picture(
    kind: str, options: dict[str, Any], share: float, file: Path
) -> None:
    """Wherever the copy broke off, and on the reduced path too."""
    whole = encode(noise(64), kind, **options)
    write(file, whole[: int(len(whole) * share)])
    start = f"{file}: is a {kind} file, truncated or damaged ("
    assert message(lambda: decode(file)).startswith(start)
    assert message(lambda: load(file, 8)).endswith(f"). {DROP}")


@pytest.mark.parametrize("error", [EOFError(), struct.error("short\n  read")])
def test_whatever_pillow_raises_is_an_image_error(
    error: Exception, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In one line, by its text or, for want of one, by its name."""
    write(file, encode(noise(16), "PNG"))

    def fail(*_: object, **__: object) -> NoReturn:
        raise error

    monkeypatch.setattr(Image, "open", fail)
    reason = "short read" if str(error) else type(error).__name__
    assert message(lambda: decode(file)) == (
        f"{file}: is a PNG file, truncated or damaged ({reason}). {DROP}"
    )


def test_want_of_memory_is_not_blamed_on_the_file(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be sound; it is named all the same, and the others go on."""
    write(file, encode(noise(16), "PNG"))

    def fail(*_: object, **__: object) -> NoReturn:
        raise MemoryError

    monkeypatch.setattr(Image, "open", fail)
    assert message(lambda: decode(file)) == (
        f"{file}: needs more memory to decode than is available. Free some, or scale it down."
    )


def test_ctrl_c_goes_through(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An interrupt is not a bad picture."""
    write(file, encode(noise(16), "PNG"))

    def interrupt(*_: object, **__: object) -> NoReturn:
        raise KeyboardInterrupt

    monkeypatch.setattr(Image, "open", interrupt)
    with pytest.raises(KeyboardInterrupt):
        decode(file)


# Many at once, and anything at all


def test_threads_read_what_one_reader_reads(tmp_path: Path) -> None:
    """All formats at once, with one color profile shared, in a pool of 8."""
    paths = []
    for kind in FORMATS:
        extra = {} if kind in ("BMP", "GIF") else {"icc_profile": p3_profile()}
        paths.append(write(tmp_path / kind, encode(noise(64), kind, **extra)))
    color._kept.cache_clear()
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda path: load(path, 24), paths * 10))
    alone = [load(path, 24) for path in paths]
    for number, loaded in enumerate(together):
        assert (loaded == alone[number % len(paths)]).all()


def decode_bytes(content: bytes) -> None:
    """Either pixels or an ImageError; anything else fails the test."""
    with tempfile.TemporaryDirectory() as folder:
        path = write(Path(folder, "x"), content)
        text, pixels = f"{path}: ", np.empty((1, 1, 3), np.uint8)
        try:
            pixels = decode(path)
        except ImageError as error:
            text = str(error)
    assert text.startswith(f"{path}: ")
    assert "\n" not in text
    assert pixels.dtype == np.uint8
    assert pixels.ndim == 3
    assert pixels.shape[2] == 3


MAGIC = [
    b"",
    b"\xff\xd8\xff",
    b"\x89PNG\r\n\x1a\n",
    b"GIF89a",
    b"II*\0",
    b"MM\0*",
    b"RIFF\0\0\0\0WEBPVP8 ",
]


@given(st.sampled_from(MAGIC), st.binary(max_size=200))
@settings(max_examples=100, deadline=None)
def test_random_bytes_are_an_image_error(magic: bytes, rest: bytes) -> None:
    """No bytes bring down the reader, not even behind a true beginning."""
    decode_bytes(magic + rest)


EXIF = Image.Exif()
EXIF[0x0112] = 6
SOUND = [
    encode(noise(16), "PNG", exif=EXIF, icc_profile=p3_profile()),
    encode(palette_picture(), "PNG", transparency=1),
    encode(noise(16), "JPEG", exif=EXIF, icc_profile=p3_profile()),
    encode(flat("CMYK", (1, 2, 3, 4)), "JPEG", icc_profile=grey_paper_profile()),
]


@given(
    st.sampled_from(SOUND),
    st.lists(
        st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=8
    ),
)
@settings(max_examples=100, deadline=None)
def test_a_mutated_picture_is_pixels_or_an_image_error(
    sound: bytes, changes: list[tuple[float, int]]
) -> None:
    """A few wrong bytes anywhere: header, profile, EXIF, pixels."""
    content = bytearray(sound)
    for place, value in changes:
        content[int(place * len(content))] = value
    decode_bytes(bytes(content))


@pytest.mark.parametrize(
    "name",
    [
        name
        for name, kind in KINDS.items()
        if isinstance(kind.make, bytes) and name != "within the limit.png"  # which takes seconds
    ],
)
def test_content_in_memory_is_read_as_a_file_is(name: str, file: Path) -> None:
    """The same pixels, or the same words under the name it was sent by."""
    content = KINDS[name].make
    assert isinstance(content, bytes)
    file.write_bytes(content)
    if KINDS[name].error:
        with pytest.raises(ImageError) as in_file:
            load(file, 16)
        with pytest.raises(ImageError) as in_memory:
            load_bytes(content, 16, name="sent.jpg")
        assert str(in_memory.value) == str(in_file.value).replace(str(file), "sent.jpg")
    else:
        expected = load(file, 16)
        np.testing.assert_array_equal(load_bytes(content, 16, name="sent.jpg"), expected)


def test_a_server_can_have_a_lower_limit_of_pixels() -> None:
    """It is told."""
    content = encode(flat("RGB", RED, (20, 10)), "PNG")
    assert load_bytes(content, 8, name="a.png", max_pixels=200).shape == (8, 8, 3)
    with pytest.raises(ImageError, match=r"^a\.png: has 20 x 10 pixels; the limit is 199 in total"):
        load_bytes(content, 8, name="a.png", max_pixels=199)
