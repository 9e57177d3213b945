"""What a file is, by its first bytes."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, features

from kvgg_jax.core.extras import EXTRAS
from kvgg_jax.data.audit.inspect import Header, read_header
from kvgg_jax.data.decode.file_types import FORMATS, HEAD, kind_of
from kvgg_jax.data.decode.image import SUFFIXES, decode, load, looks_like_image
from support.images import (
    BEST,
    STORED,
    corners,
    encode,
    heic,
    message,
    noise,
    write,
)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file name that claims nothing."""
    return tmp_path / "photo"


@pytest.mark.parametrize("kind", FORMATS)
def test_a_format_is_known_by_its_content(kind: str, tmp_path: Path) -> None:
    """Each format is read under another format's suffix; a lossless one to the last bit."""
    image = corners(32, 64)  # quarters on JPEG's grid of 8 pixels: no ringing at their edges
    suffix = ".png" if kind != "PNG" else ".jpg"
    path = write(tmp_path / f"x{suffix}", encode(image, kind, **BEST[kind]))
    assert looks_like_image(path)
    decoded = decode(path)
    assert decoded.dtype == np.uint8
    assert decoded.shape == image.shape
    off = np.abs(decoded.astype(int) - image).max()
    assert off <= (4 if kind in ("JPEG", "AVIF") else 0)
    assert decoded.flags.writeable


def test_suffixes_are_lower_case_and_dotted() -> None:
    """`str.endswith` takes them as they are."""
    assert (
        *(".bmp", ".gif", ".jpeg", ".jpg", ".png", ".webp", ".tif", ".tiff"),
        *(".avif", ".heic", ".heif"),
    ) == SUFFIXES


@pytest.mark.parametrize("content", [b"", b"BMW prices in 2024", b"RIFFxxxxWAVE", b"%PDF-1.7"])
def test_other_content_does_not_look_like_an_image(content: bytes, tmp_path: Path) -> None:
    """Whatever the suffix says; two letters "BM" are not a BMP."""
    assert not looks_like_image(write(tmp_path / "x.jpg", content))


def test_what_is_no_regular_file_does_not_look_like_an_image(tmp_path: Path) -> None:
    """A folder is not, nor is a pipe, which is not waited for."""
    assert not looks_like_image(tmp_path)
    os.mkfifo(tmp_path / "pipe.jpg")
    assert not looks_like_image(tmp_path / "pipe.jpg")


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
    b"\0\0\0\x18ftypcrx \0\0\0\0": "is an image in Canon's raw format, which is not supported. "
    "Convert it to JPEG or PNG.",
    b"\0\0\0\x18ftypmp42\0\0\0\0": f"is a video, not an image. {DROP}",
    b"\x00\x01\x02\x03": f"is not a supported image (JPEG, PNG, BMP, GIF, WEBP, TIFF, "
    f"AVIF). {DROP}",
    b"\xff\xd8\xff": "is a JPEG file, truncated or damaged (its header is damaged or unusual"
    f"). {DROP}",
}


@pytest.mark.parametrize("content", FOREIGN)
def test_what_is_not_an_image_is_called_by_its_name(content: bytes, file: Path) -> None:
    """What downloads and phones leave among photos."""
    write(file, content)
    assert message(lambda: decode(file)) == f"{file}: {FOREIGN[content]}"
    assert message(lambda: load(file, 8)) == f"{file}: {FOREIGN[content]}"


PHONE = [
    b"\0\0\0\x18ftypheic\0\0\0\0mif1heic",
    b"\0\0\0\x18ftyphevc\0\0\0\0msf1hevc",
    b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic",
    b"\xff\xff\xff\xffftypmif1\0\0\0\0",
]


@pytest.mark.parametrize("content", PHONE)
def test_without_its_extra_a_heic_photo_is_answered_with_the_command_that_adds_it(
    content: bytes, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It counts as an image, so that it is not passed over."""
    monkeypatch.setitem(EXTRAS, "heic", ("pip-of-no-kind",))
    assert looks_like_image(write(file, content))
    assert message(lambda: decode(file)) == (
        f"{file}: is an image in HEIC, which is not supported. Convert it to JPEG or PNG, or add "
        'what reads it: pip install "kvgg_jax[heic]"'
    )


def test_where_pillow_lacks_avif_its_name_is_known(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with some builds that do not come from PyPI."""
    monkeypatch.setattr(features, "check", lambda _: False)
    assert looks_like_image(write(file, encode(corners(), "AVIF")))
    assert message(lambda: decode(file)) == (
        f"{file}: is an image in AVIF, which is not supported. Convert it to JPEG or PNG."
    )


def test_a_brand_of_any_codec_is_told_by_those_beside_it() -> None:
    """Some programs write `mif1` first, of AVIF and of HEIC."""
    content = encode(corners(), "AVIF")
    assert content[8:12] == b"avif"
    assert kind_of(content[:8] + b"mif1" + content[12:HEAD]) == "AVIF"


@pytest.mark.extras
@pytest.mark.parametrize("orientation", STORED)
def test_a_heic_photo_is_read_upright(orientation: int, file: Path) -> None:
    """By its extra, which is not made known to Pillow: the host program does not get a reader."""
    upright = corners(32, 64)
    write(file, heic(np.ascontiguousarray(STORED[orientation](upright)), orientation))
    assert looks_like_image(file)
    assert np.abs(decode(file).astype(int) - upright).max() <= 4
    assert "HEIF" not in Image.OPEN
    assert read_header(file.read_bytes(), file.with_suffix(".heif")) == Header(
        "HEIC", "RGB", "64 x 32"
    )


@pytest.mark.extras
@pytest.mark.parametrize("share", [0.05, 0.3, 0.6, 0.95])
def test_a_truncated_heic_photo_is_never_half_an_image(share: float, file: Path) -> None:
    """As of the other formats."""
    content = heic(noise(64))
    write(file, content[: int(len(content) * share)])
    start = f"{file}: is a HEIC file, truncated or damaged ("
    assert message(lambda: load(file, 8)).startswith(start)


@pytest.mark.extras
def test_a_heic_bomb_is_refused_by_its_header(file: Path) -> None:
    """As of the other formats; one that hides its size is stopped by its decoder."""
    content = heic(np.full((512, 512, 3), 255, np.uint8))
    place = content.index(b"ispe") + 8
    for size, expected in (
        ((14_000, 14_000), f"has 14000 x 14000 pixels in {len(content)} bytes, like a"),
        ((64, 64), "is a HEIC file, truncated or damaged (Memory allocation error: Security limit"),
    ):
        write(file, content[:place] + struct.pack(">II", *size) + content[place + 8 :])
        assert message(lambda: decode(file)).startswith(f"{file}: {expected}")
