"""Files that would take much more memory or work than a photo: known before any decoding.

So decoding makes at most `MAX_SCANS` passes over the pixels, and those that every image needs.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from itertools import zip_longest
from pathlib import Path
from typing import BinaryIO

from PIL import Image, UnidentifiedImageError
from PIL.ExifTags import Base as Tag
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import MARKER

from kvgg_jax.core.errors import ImageError
from kvgg_jax.core.text import escape_name
from kvgg_jax.data.decode.file_types import DROP, HEIC

MAX_BYTES = 2**31  # of a file
MAX_PIXELS = 200_000_000  # 800 MB while decoded; the largest phone sensors have as many
LARGE = 25_000_000  # pixels, from which on a file must have the bytes of a photo,
PIXELS_PER_BYTE = 100  # ten times what the least JPEG quality takes; a decompression bomb has more
MAX_SIDE = 100_000  # pixels; each row takes memory of its own, however short it is
SCAN = 150_000_000  # pixels of one bit that need no bytes: A4 at 1200 dpi, faxed, has 700 a byte.
# All of one bit that are larger than LARGE are shrunk to it, before three bytes are made of each.
MAX_SCANS = 32  # of a JPEG, each a pass over all pixels; cameras and editors write 1 to 18
MAX_PARTS = 10_000  # segments of a JPEG or blocks of a GIF before the image; tiles: ten times that
MAX_RLE = 2_000_000  # pixels and bytes of a run-length encoded BMP, which Pillow decodes in Python
_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")  # of a JPEG, other than those within a scan
_SOS, _EOI = b"\xff\xda", b"\xff\xd9"


def open_header(file: BinaryIO, kind: str) -> ImageFile:
    """As `Image.open` of a file of format `kind`, less Pillow's own limit, which is of the process.

    Pillow keeps to it, 178,956,970 pixels, as it opens WebP.
    """
    file.seek(0)
    try:
        return _opener(kind)(file, "")
    except (SyntaxError, IndexError, TypeError, struct.error) as error:
        raise UnidentifiedImageError(str(error)) from error


def _opener(kind: str) -> Callable[[BinaryIO, str], ImageFile]:
    """Pillow's reader of a format. That of HEIC is not made known to Pillow, where the program that
    uses this package would find it too."""
    if kind == HEIC:
        from pillow_heif import HeifImageFile

        return HeifImageFile
    Image.preinit()
    if kind not in Image.OPEN:
        Image.init()
    return Image.OPEN[kind][0]


def refuse_many_parts(name: Path | str, content: bytes, kind: str, max_pixels: int) -> None:
    """Raises ImageError for a file whose header alone would take much work or memory to read."""
    reason = None
    if kind == "JPEG":
        reason = _too_many_segments(content)
    elif kind == "PNG":
        reason = _too_many_chunks(content)
    elif kind == "GIF":
        reason = _too_many_blocks(content)
    elif kind == "WEBP" and (size := _webp_size(content)):
        limit = min(max_pixels, 2 * (Image.MAX_IMAGE_PIXELS or max_pixels))
        reason = _too_large(size, len(content), limit=limit)
    if reason:
        raise ImageError(f"{escape_name(name)}: {reason}")


def refuse_bombs(name: Path | str, image: ImageFile, content: bytes, max_pixels: int) -> None:
    """Raises ImageError for a file that would take much memory or work to decode."""
    size, length = decoded_size(image), len(content)
    free = SCAN if image.mode == "1" else LARGE
    reason = _too_large(size, length, limit=max_pixels, free=free)
    if not reason and image.format == "TIFF":
        reason = _too_many_tiles(image, content)
    if image.tile and image.tile[0][0] == "bmp_rle" and size[0] * size[1] + length > MAX_RLE:
        head = f"is a run-length encoded BMP of {size[0]} x {size[1]} pixels in {length} bytes"
        reason = reason or f"{head}; the limit is {MAX_RLE} of both. Save it as PNG."
    if reason:
        raise ImageError(f"{escape_name(name)}: {reason}")


def _too_large(size: tuple[int, int], length: int, *, limit: int, free: int = LARGE) -> str | None:
    pixels = f"has {size[0]} x {size[1]} pixels"
    if size[0] * size[1] > limit:
        return f"{pixels}; the limit is {limit} in total. Scale it down."
    if max(size) > MAX_SIDE:
        return f"{pixels}; the limit is {MAX_SIDE} per side. Cut it into pieces."
    if size[0] * size[1] > max(free, length * PIXELS_PER_BYTE):
        return f"{pixels} in {length} bytes, like a decompression bomb. {DROP}"
    return None


def _too_many_segments(content: bytes) -> str | None:
    """Of a JPEG: segments before the first scan, which Pillow reads in Python; and scans."""
    parts, place = 0, 2
    while (found := _MARKER.search(content, place)) and found[0] != _SOS:
        parts += 1 + found.start() - place  # what lies between is skipped byte by byte
        if parts > MAX_PARTS:
            return f"has too many segments; the limit is {MAX_PARTS}. {DROP}"
        has_length = MARKER.get(int.from_bytes(found[0]), ("", "", None))[2]
        place = _end(content, found.end()) if has_length else found.end()
    if content.count(_SOS, place) <= MAX_SCANS:  # nearly always; else some may follow the image
        return None
    scans = 0
    while found and found[0] != _EOI and scans <= MAX_SCANS and parts <= MAX_PARTS:
        scans, parts = scans + (found[0] == _SOS), parts + 1
        found = _MARKER.search(content, _end(content, found.end()))
    if parts > MAX_PARTS:
        return f"has too many segments; the limit is {MAX_PARTS}. {DROP}"
    return f"has too many scans; the limit is {MAX_SCANS}. {DROP}" if scans > MAX_SCANS else None


def _end(content: bytes, place: int) -> int:
    """Of a segment whose length is at `place`."""
    return place + max(int.from_bytes(content[place : place + 2]), 2)


def _too_many_chunks(content: bytes) -> str | None:
    """Of a PNG: more than one in 1,000 bytes, or profiles that unpack to a megabyte each."""
    place, chunks, profiles, name = 8, 0, 0, b""
    while place < len(content) and name != b"IEND":
        name = content[place + 4 : place + 8]
        chunks, profiles = chunks + 1, profiles + (name == b"iCCP")
        place += 12 + int.from_bytes(content[place : place + 4])
        if chunks > 1000 + place // 1000:
            return f"has too many chunks; the limit is 1000 and one in 1000 bytes. {DROP}"
        if profiles > 1:
            return f"has several color profiles; the limit is 1. {DROP}"
    return None


def _too_many_blocks(content: bytes) -> str | None:
    """Of a GIF, before its first image: Pillow reads each in Python."""
    flags = int.from_bytes(content[10:11])
    place, is_data = 13 + (6 << (flags & 7) if flags & 128 else 0), False
    for _ in range(MAX_PARTS):
        first = content[place : place + 1]
        if not first or (not is_data and first in b",;"):
            return None
        if is_data:
            place += 1 + first[0]
            is_data = first != b"\0"
        else:
            is_data = first == b"!"
            place += 1 + is_data
    return f"has too many blocks before its image; the limit is {MAX_PARTS}. {DROP}"


def _too_many_tiles(image: ImageFile, content: bytes) -> str | None:
    """Of a TIFF: tiles or strips, and scans of one of them that is a JPEG."""
    tags = getattr(image, "tag_v2", {})
    starts = tags.get(Tag.TileOffsets) or tags.get(Tag.StripOffsets, ())
    lengths = tags.get(Tag.TileByteCounts) or tags.get(Tag.StripByteCounts, ())
    if len(starts) > 10 * MAX_PARTS:
        return f"has {len(starts)} tiles or strips; the limit is {10 * MAX_PARTS}. {DROP}"
    if tags.get(Tag.Compression) == 7:
        parts = set(zip_longest(starts, lengths, fillvalue=0))
        ends = ((start, start + length if length else len(content)) for start, length in parts)
        if max(content.count(_SOS, *part) for part in ends) > MAX_SCANS:
            return f"has too many scans; the limit is {MAX_SCANS}. {DROP}"
    return None


def _webp_size(content: bytes) -> tuple[int, int] | None:
    """Width and height, of an animation those of its canvas (RFC 9649, sections 2.5 to 2.7)."""
    head, data = content[12:16], content[20:30]
    if head == b"VP8X":
        return int.from_bytes(data[4:7], "little") + 1, int.from_bytes(data[7:10], "little") + 1
    if head == b"VP8L":
        bits = int.from_bytes(data[1:5], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if head == b"VP8 ":
        width, height = (int.from_bytes(data[k : k + 2], "little") & 0x3FFF for k in (6, 8))
        return width, height
    return None


def decoded_size(image: ImageFile) -> tuple[int, int]:
    """Width and height of what is decoded: of a TIFF, all its tiles, which may be larger."""
    tags = getattr(image, "tag_v2", {})
    tile = tags.get(Tag.TileWidth, 0), tags.get(Tag.TileLength, 0)
    if not all(tile):
        return image.size
    stored = tags[Tag.ImageWidth], tags[Tag.ImageLength]
    width, height = (-(-side // step) * step for side, step in zip(stored, tile, strict=True))
    return width, height
