"""Every photo is read once and measured: its header, and what to compare it by. Bad files are
noted, and the others are inspected all the same."""

from __future__ import annotations

import io
import math
from dataclasses import dataclass
from typing import NamedTuple

from PIL import Image

from kvgg_jax.core.errors import ImageError
from kvgg_jax.core.events import Emit, ignore
from kvgg_jax.core.places import Place, file_place
from kvgg_jax.core.tables.data import MIN_IMAGE_SIZE
from kvgg_jax.data.audit.duplicates import SIDE, Fingerprint, look
from kvgg_jax.data.audit.quality import sharpness
from kvgg_jax.data.decode.file_types import HEAD, check_kind, named
from kvgg_jax.data.decode.image import decode_bytes
from kvgg_jax.data.decode.limits import open_header
from kvgg_jax.data.samples import Samples
from kvgg_jax.data.source import each, threads_for

SOME = 25  # photos that tell how large most are
LONG = 3  # times as wide as high, or high as wide
_SUFFIXES = {".jpg": ".jpeg", ".tif": ".tiff", ".heif": ".heic"}  # another -> that of the format


class Header(NamedTuple):
    """Format and mode in Pillow's names, size in pixels as stored, before EXIF turns it."""

    format: str
    mode: str
    size: str
    """`"224 x 224"`."""
    odd: tuple[str, ...] = ()
    """What may surprise, each as the rest of a sentence on the file."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A file, its look, header and sharpness; `error` instead where it cannot be read."""

    path: Place
    look: Fingerprint | None = None
    header: Header | None = None
    error: ImageError | None = None
    sharpness: float = 0.0


def inspect_photos(*several: Samples, emit: Emit = ignore, stage: str = "comparing") -> list[Seen]:
    """A look at each photo of all samples, in order, on all cores. A JPEG is decoded small, which
    is quicker."""
    photos = [(samples, i) for samples in several for i in range(len(samples))]
    threads = max(threads_for(samples.root) for samples in several)
    return each(_inspect, photos, stage=stage, threads=threads, emit=emit)


def _inspect(photo: tuple[Samples, int]) -> Seen:
    samples, i = photo
    path = file_place(samples.name(i))
    try:
        content = samples.read(i)
        pixels = decode_bytes(content, name=str(path), at_least=SIDE)
        found = look(pixels), read_header(content, path)
        return Seen(path, *found, sharpness=sharpness(pixels))
    except ImageError as error:
        return Seen(path, error=error)


def typical_side(samples: Samples) -> int:
    """The shorter side, in pixels, of a photo in the middle of `SOME` from all over the samples.

    0 where none of these can be read.
    """
    rows = range(0, len(samples), math.ceil(len(samples) / SOME))
    sides = sorted(filter(None, (_side(samples, row) for row in rows)))
    return sides[len(sides) // 2] if sides else 0


def _side(samples: Samples, row: int) -> int:
    try:
        content = samples.read(row)
        kind = check_kind(samples.name(row), content[:HEAD])
        with open_header(io.BytesIO(content), kind) as image:
            return min(image.size)
    except Exception:  # nearly any type, as in `image`; whoever decodes it says what is wrong
        return 0


def read_header(content: bytes, path: Place) -> Header:
    """The header of a file that `image.decode_bytes` can read."""
    kind = check_kind(str(path), content[:HEAD])
    with open_header(io.BytesIO(content), kind) as image:
        is_pair = image.format == "MPO"  # of many phones: a JPEG that brings a second image
        suffix = _SUFFIXES.get(path.suffix.lower(), path.suffix.lower())
        short, long = sorted(image.size)
        mode, size = image.mode, f"{image.width} x {image.height}"
        odd = {
            f"is {named(kind)} with another suffix": suffix not in ("", f".{kind.lower()}"),
            "has several frames; only the first is used": not is_pair and _has_frames(image),
            f"has {size} pixels and is resized to a square": long >= LONG * short,
            f"has {size} pixels, fewer than any network here accepts": short < MIN_IMAGE_SIZE,
        }
    return Header(kind, mode, size, tuple(text for text, so in odd.items() if so))


def _has_frames(image: Image.Image) -> bool:
    try:
        return bool(getattr(image, "is_animated", False))
    except Exception:  # a second frame is there, and damaged: nearly any type, as in `image`
        return True
