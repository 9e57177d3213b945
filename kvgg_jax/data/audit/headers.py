"""The header of an image file, read before its pixels are decoded, and what is odd in it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from kvgg_jax.core.config import MIN_IMAGE_SIZE
from kvgg_jax.data.decode.file_types import HEAD, kind_of
from kvgg_jax.data.decode.limits import open_header

LONG = 3  # times as wide as high, or high as wide
_SUFFIXES = {
    "JPEG": (".jpg", ".jpeg"),
    "PNG": (".png",),
    "BMP": (".bmp",),
    "GIF": (".gif",),
    "WEBP": (".webp",),
    "TIFF": (".tif", ".tiff"),
}


@dataclass(frozen=True, slots=True)
class Header:
    """Format and mode in Pillow's names, size in pixels as stored, before EXIF turns it."""

    format: str
    mode: str
    width: int
    height: int
    odd: tuple[str, ...] = ()
    """What may surprise, each as the rest of a sentence on the file."""

    @property
    def size(self) -> str:
        """`"224 x 224"`."""
        return f"{self.width} x {self.height}"


def header(path: Path) -> Header:
    """The header of a file that `image.decode` can read."""
    with path.open("rb") as file, open_header(file, kind_of(file.read(HEAD)) or "") as image:
        # Of many phones: a JPEG that brings a second picture.
        is_pair, mode, (width, height) = image.format == "MPO", image.mode, image.size
        kind = "JPEG" if is_pair else image.format or ""
        frames = not is_pair and _has_frames(image)
        odd = [
            (
                path.suffix.lower() not in _SUFFIXES.get(kind, ()),
                f"is a {kind} file with another suffix",
            ),
            (frames, "has several frames; only the first is used"),
            (
                max(width, height) >= LONG * min(width, height),
                f"has {width} x {height} pixels and is resized to a square",
            ),
            (
                min(width, height) < MIN_IMAGE_SIZE,
                f"has {width} x {height} pixels, fewer than any network here accepts",
            ),
        ]
        return Header(kind, mode, width, height, tuple(text for so, text in odd if so))


def _has_frames(image: Image.Image) -> bool:
    try:
        return bool(getattr(image, "is_animated", False))
    except Exception:  # a second frame is there, and damaged: nearly any type, as in `image`
        return True
