"""Small files that would take much memory or time: known by their header, before any decoding."""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import BinaryIO

from PIL import Image, UnidentifiedImageError
from PIL.ExifTags import Base as Tag
from PIL.ImageFile import ImageFile

from kvgg_jax.core.errors import ImageError
from kvgg_jax.core.text import escape_name
from kvgg_jax.data.decode.file_types import DROP

MAX_PIXELS = 200_000_000  # 800 MB while decoded; the largest phone sensors have as many
LARGE = 25_000_000  # pixels, from which on a file must have the bytes of a photo,
PIXELS_PER_BYTE = 100  # ten times what the least JPEG quality takes; a decompression bomb has more
MAX_SIDE = 100_000  # pixels; each row takes memory of its own, however short it is
SCAN = 150_000_000  # pixels of one bit that need no bytes: A4 at 1200 dpi, faxed, has 700 a byte.
# All of one bit that are larger than LARGE are shrunk to it, before three bytes are made of each.
MAX_SCANS = 100  # of a progressive JPEG, each a pass over all pixels; cameras and editors write 10


def open_header(file: BinaryIO, kind: str) -> ImageFile:
    """As `Image.open` of a file of format `kind`, less Pillow's own limit, which is of the process.

    Pillow keeps to it, 178,956,970 pixels, as it decodes GIF, TIFF and WebP.
    """
    Image.preinit()
    if kind not in Image.OPEN:
        Image.init()
    file.seek(0)
    try:
        return Image.OPEN[kind][0](file, "")
    except (SyntaxError, IndexError, TypeError, struct.error) as error:
        raise UnidentifiedImageError(str(error)) from error


def refuse_bombs(path: Path | str, image: Image.Image, file: BinaryIO, max_pixels: int) -> None:
    """Raises ImageError for a small file that would take much memory or time."""
    tags = getattr(image, "tag_v2", {})
    tile = (tags.get(Tag.TileWidth, 0), tags.get(Tag.TileLength, 0))  # a TIFF may lie in these
    width, height = max(image.size, tile, key=lambda size: size[0] * size[1])
    if width * height > max_pixels:
        raise ImageError(
            f"{escape_name(path)}: has {width} x {height} pixels; the limit is {max_pixels} in "
            "total. Scale it down."
        )
    if max(width, height) > MAX_SIDE:
        raise ImageError(
            f"{escape_name(path)}: has {width} x {height} pixels; the limit is {MAX_SIDE} "
            "per side. Cut it into pieces."
        )
    length = _length(file)
    free = SCAN if image.mode == "1" else LARGE
    if width * height > max(free, length * PIXELS_PER_BYTE):
        raise ImageError(
            f"{escape_name(path)}: has {width} x {height} pixels in {length} bytes, like a "
            f"decompression bomb. {DROP}"
        )
    if image.info.get("progressive") and (scans := _scans(file)) > MAX_SCANS:
        raise ImageError(
            f"{escape_name(path)}: has {scans} progressive scans; the limit is {MAX_SCANS}. {DROP}"
        )


def _length(file: BinaryIO) -> int:
    """In bytes."""
    place = file.tell()
    length = file.seek(0, os.SEEK_END)
    file.seek(place)
    return length


def _scans(file: BinaryIO) -> int:
    """Passes of a JPEG. Its marker cannot occur inside compressed data."""
    place = file.tell()
    file.seek(0)
    count = file.read().count(b"\xff\xda")
    file.seek(place)
    return count
