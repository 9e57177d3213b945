"""Small files that would take much memory or time: known by their header, before any decoding."""

from __future__ import annotations

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


def refuse_bombs(name: Path | str, image: Image.Image, content: bytes, max_pixels: int) -> None:
    """Raises ImageError for a file of these bytes that would take much memory or time."""
    if reason := _too_much(image, content, max_pixels):
        raise ImageError(f"{escape_name(name)}: {reason}")


def decoded_size(image: Image.Image) -> tuple[int, int]:
    """Width and height of what is decoded: of a TIFF's tiles, where these are larger."""
    tags = getattr(image, "tag_v2", {})
    tile = (tags.get(Tag.TileWidth, 0), tags.get(Tag.TileLength, 0))
    return max(image.size, tile, key=lambda size: size[0] * size[1])


def _too_much(image: Image.Image, content: bytes, max_pixels: int) -> str | None:
    width, height = decoded_size(image)
    pixels = f"has {width} x {height} pixels"
    if width * height > max_pixels:
        return f"{pixels}; the limit is {max_pixels} in total. Scale it down."
    if max(width, height) > MAX_SIDE:
        return f"{pixels}; the limit is {MAX_SIDE} per side. Cut it into pieces."
    free = SCAN if image.mode == "1" else LARGE
    if width * height > max(free, len(content) * PIXELS_PER_BYTE):
        return f"{pixels} in {len(content)} bytes, like a decompression bomb. {DROP}"
    scans = content.count(b"\xff\xda") if image.info.get("progressive") else 0
    if scans > MAX_SCANS:  # the marker of a pass cannot occur inside compressed data
        return f"has {scans} progressive scans; the limit is {MAX_SCANS}. {DROP}"
    return None
