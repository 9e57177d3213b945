"""Image files for tests: drawn, encoded, or put together byte by byte where Pillow cannot."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from kvgg_jax.core.errors import ImageError

Pixels = NDArray[np.uint8]
BEST: dict[str, dict[str, Any]] = {  # the least loss that each format is capable of
    "JPEG": {"quality": 95, "subsampling": 0},
    "GIF": {},
    "PNG": {},
    "BMP": {},
    "WEBP": {"lossless": True, "exact": True},
    "TIFF": {},
    "AVIF": {"quality": 100, "subsampling": "4:4:4"},
}
ODD_NAMES = ["r\udce9d", "$x_", "中", "two\nlines"]  # no text, math markup, no glyph, two lines
RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)

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


def png_size(file: Path) -> tuple[int, int]:
    """Width and height of a PNG file."""
    with Image.open(file) as image:
        assert image.format == "PNG"
        return image.size


def corners(height: int = 16, width: int = 24) -> Pixels:
    """Four flat quarters, none alike, so that no turn or flip goes unnoticed."""
    quarters = np.array([[RED, GREEN], [BLUE, WHITE]], np.uint8)
    return quarters.repeat(height // 2, axis=0).repeat(width // 2, axis=1)


def soft(size: int) -> Pixels:
    """A smooth photo-like image: every neighbour is alike."""
    ramp = np.linspace(0, 1, size)
    planes = [np.add.outer(ramp, ramp) / 2, np.add.outer(1 - ramp, ramp) / 2]
    planes.append(0.5 + 0.4 * np.outer(np.sin(4 * ramp), np.cos(5 * ramp)))
    return (np.stack(planes, axis=-1) * 255).round().astype(np.uint8)


def noise(size: int) -> Pixels:
    return np.random.default_rng(7).integers(0, 256, (size, size, 3), np.uint8)


def flat(mode: str, color: Any, size: tuple[int, int] = (16, 16)) -> Image.Image:
    return Image.new(mode, size, color)


def encode(image: Image.Image | Pixels, kind: str, **options: Any) -> bytes:
    if not isinstance(image, Image.Image):
        image = Image.fromarray(image)
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def heic(pixels: Pixels, orientation: int = 1) -> bytes:
    """As phones write it, stored in that orientation (EXIF 2.32). Needs the extra `heic`."""
    pillow_heif = pytest.importorskip("pillow_heif", reason='needs pip install "kvgg_jax[heic]"')
    exif, file, (height, width, _) = Image.Exif(), io.BytesIO(), pixels.shape
    exif[0x0112] = orientation
    data = {"exif": exif.tobytes(), "quality": 95}
    pillow_heif.encode("RGB", (width, height), pixels.tobytes(), file, **data)
    return file.getvalue()


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(
    size: tuple[int, int], bits: int, color: int, row: bytes, *, clear: bytes | None = None
) -> bytes:
    """A PNG of equal rows, of the depths and color types Pillow does not write."""
    header = struct.pack(">IIBBBBB", *size, bits, color, 0, 0, 0)
    body = zlib.compress((b"\0" + row) * size[1]) if row else b"\0"
    parts = [chunk(b"IHDR", header), chunk(b"IDAT", body), chunk(b"IEND", b"")]
    if clear is not None:
        parts.insert(1, chunk(b"tRNS", clear))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def tiff(
    pixel: bytes,
    *,
    bits: tuple[int, ...],
    photometric: int,
    sample_format: int = 1,
    tags: dict[int, int] | None = None,
    order: str = "<",
) -> bytes:
    """A raw 8 x 8 TIFF of one color, of the kinds Pillow reads but does not write."""
    entries = {256: 8, 257: 8, 259: 1, 262: photometric, 273: 256, 277: len(bits), 278: 8}
    entries |= {279: len(pixel) * 64, 339: sample_format, **(tags or {})}
    fields = [(tag, 4, 1, struct.pack(f"{order}I", value)) for tag, value in entries.items()]
    inline = struct.pack(f"{order}{len(bits)}H", *bits)
    where = inline.ljust(4, b"\0") if len(bits) < 3 else struct.pack(f"{order}I", 240)
    fields.append((258, 3, len(bits), where))
    head = b"II*\0" if order == "<" else b"MM\0*"
    head += struct.pack(f"{order}IH", 8, len(fields))
    for tag, kind, count, value in sorted(fields):
        head += struct.pack(f"{order}HHI", tag, kind, count) + value
    return (head.ljust(240, b"\0") + inline).ljust(256, b"\0") + pixel * 64


def profile(space: bytes, connection: bytes, tags: dict[bytes, bytes]) -> bytes:
    """An ICC profile, version 2.4: a 128-byte header, a table, the tags (ICC.1:2001-04)."""
    head = struct.pack(">4xI", 0x02400000) + b"mntr" + space + connection + bytes(12) + b"acsp"
    head = head.ljust(64, b"\0") + fixed(0.9642, 1.0, 0.8249)
    table, body = struct.pack(">I", len(tags)), b""
    for name, data in tags.items():
        start = 128 + 4 + 12 * len(tags) + len(body)
        table += name + struct.pack(">II", start, len(data))
        body += data.ljust(-(-len(data) // 4) * 4, b"\0")
    size = 4 + len(head.ljust(124, b"\0")) + len(table) + len(body)
    return struct.pack(">I", size) + head.ljust(124, b"\0") + table + body


def fixed(*values: float) -> bytes:
    return struct.pack(f">{len(values)}i", *(round(value * 65536) for value in values))


# Display P3 on D50, columns red, green, blue (the profile of Apple's phones and screens).
P3 = np.array(
    [[0.51512, 0.29198, 0.1571], [0.24119, 0.69225, 0.06657], [-0.00105, 0.04189, 0.78407]]
)
SRGB = np.array(
    [[0.43607, 0.38515, 0.14307], [0.22249, 0.71687, 0.06061], [0.01392, 0.09708, 0.7141]]
)


def p3_profile() -> bytes:
    curve = b"para" + bytes(4) + struct.pack(">Hxx", 3)
    curve += fixed(2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
    tags = {b"rTRC": curve, b"gTRC": curve, b"bTRC": curve}
    for name, column in zip((b"rXYZ", b"gXYZ", b"bXYZ"), P3.T, strict=True):
        tags[name] = b"XYZ " + bytes(4) + fixed(*column)
    return profile(b"RGB ", b"XYZ ", tags)


def linear_grey_profile() -> bytes:
    curve = b"curv" + bytes(4) + struct.pack(">I", 0)
    white = b"XYZ " + bytes(4) + fixed(0.9642, 1.0, 0.8249)
    return profile(b"GRAY", b"XYZ ", {b"wtpt": white, b"kTRC": curve})


def grey_paper_profile() -> bytes:
    """A CMYK profile of grey paper, L* = 50.2, and three inks that do not show; K is black."""
    ramp = bytes(range(256))
    table = b"mft1" + bytes(4) + bytes([4, 3, 2, 0]) + fixed(1, 0, 0, 0, 1, 0, 0, 0, 1)
    table += ramp * 4 + bytes([128, 128, 128, 0, 128, 128]) * 8 + ramp * 3
    return profile(b"CMYK", b"Lab ", {b"A2B0": table})


def scene(seed: int, size: int = 96) -> Image.Image:
    """An image with structure of its own: a few soft spots of random place and color."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:size, 0:size] / size
    pixels = np.full((size, size, 3), 200.0)
    for _ in range(6):
        (cy, cx), spread, color = rng.random(2), rng.uniform(0.05, 0.2), rng.uniform(-150, 50, 3)
        spot = np.exp(-((y - cy) ** 2 + (x - cx) ** 2) / (2 * spread**2))
        pixels += spot[..., None] * color
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def message(call: Callable[[], object]) -> str:
    """What the ImageError says that `call` raises."""
    with pytest.raises(ImageError) as caught:
        call()
    return str(caught.value)
