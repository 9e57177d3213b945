"""What a file is, by its first bytes."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from kvgg_jax.data.decode.file_types import FORMATS
from kvgg_jax.data.decode.image import SUFFIXES, decode, load, looks_like_image
from support.images import (
    BEST,
    corners,
    encode,
    message,
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
    b"\xff\xd8\xff": "is a JPEG file, truncated or damaged (its header is damaged or unusual"
    f"). {DROP}",
}


@pytest.mark.parametrize("content", FOREIGN)
def test_what_is_not_an_image_is_called_by_its_name(content: bytes, file: Path) -> None:
    """What downloads and phones leave among photos."""
    write(file, content)
    assert message(lambda: decode(file)) == f"{file}: {FOREIGN[content]}"
    assert message(lambda: load(file, 8)) == f"{file}: {FOREIGN[content]}"
