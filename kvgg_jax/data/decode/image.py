"""The one decode of an image file: upright sRGB pixels, as a person sees them.

Training, evaluation, prediction and the server all use it, so they cannot disagree.
"""

from __future__ import annotations

import io
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from PIL.JpegImagePlugin import JpegImageFile

from kvgg_jax.core.errors import ImageError
from kvgg_jax.core.tables.data import Resize
from kvgg_jax.core.text import escape_name
from kvgg_jax.data.decode.color import mend_transparency, upright_rgb
from kvgg_jax.data.decode.file_types import DROP, HEAD, check_kind, kind_not_read, kind_of, named
from kvgg_jax.data.decode.limits import (
    MAX_BYTES,
    MAX_PIXELS,
    open_header,
    refuse_bombs,
    refuse_many_parts,
)
from kvgg_jax.data.decode.resize import scaled, to_square

SUFFIXES = (
    *(".bmp", ".gif", ".jpeg", ".jpg", ".png", ".webp", ".tif", ".tiff"),
    *(".avif", ".heic", ".heif"),
)


Read = Callable[[Any], bytes]
"""What gives the content of a file, by its path or address. Raises ImageError."""


def looks_like_image(path: Path) -> bool:
    """Whether the first 64 bytes of the file `path` are those of an image, whatever its suffix.

    True for raw photos and the like too, and for a file that cannot be opened: `load` then says
    what to do, where passing them over would train on a part of the photos. False for what is not a
    regular file: a folder, a pipe, a device.
    """
    try:
        status = path.stat()
        # Opening a pipe would wait for its writer; so would one of /proc, which has size 0.
        if not stat.S_ISREG(status.st_mode) or not status.st_size:
            return False
        with path.open("rb", buffering=0) as file:
            return is_image(file.read(HEAD))
    except OSError:
        return True


def is_image(head: bytes) -> bool:
    """Whether the first `HEAD` bytes of a file are those of an image, read here or not."""
    return (kind_of(head) or kind_not_read(head)) is not None


class Square(NamedTuple):
    """What the network gets of a photo."""

    pixels: NDArray[np.uint8]
    """[size, size, 3]."""
    photo: tuple[int, int]
    """Width and height of the whole photo, upright, as decoded."""


def load(path: Path, size: int, resize: Resize = "squash") -> NDArray[np.uint8]:
    """The image in `path` as a square: uint8 (size, size, 3), 0..255, sRGB.

    `resize` is the setting `data.resize`: "squash" does not keep the aspect ratio, as in Keras'
    `image_dataset_from_directory`. Bilinear with antialiasing. Raises ImageError as `decode` does.
    """
    return load_bytes(read_file(path), size, resize, name=path)


def load_bytes(
    content: bytes, size: int, resize: Resize = "squash", *, name: Path | str
) -> NDArray[np.uint8]:
    """As `load`, from the content of a file that messages call `name`."""
    return load_square(content, size, resize, name=name).pixels


def load_square(
    content: bytes, size: int, resize: Resize, *, name: Path | str, max_pixels: int = MAX_PIXELS
) -> Square:
    """As `load_bytes`, with the shape of the photo.

    Raises ImageError as `decode` does, for more than `max_pixels` too.
    """
    image = _decode(content, name, size=size, resize=resize, max_pixels=max_pixels)
    return Square(np.array(to_square(image, size, resize)), image.size)


def decode(path: Path, *, at_least: int | None = None) -> NDArray[np.uint8]:
    """The image in `path` as a person sees it: upright, over white, uint8 (H, W, 3), sRGB.

    With `at_least` (pixels, positive) a JPEG comes 2, 4 or 8 times smaller, much faster, where
    both sides keep one and a half times that. A scan of one bit a pixel and more than `LARGE` of
    them comes 2 or 3 times smaller. Of several frames the first. Raises ImageError, which names
    `path`, the reason and the next move, if the image is not complete.
    """
    return decode_bytes(read_file(path), name=path, at_least=at_least)


def decode_bytes(
    content: bytes, *, name: Path | str, at_least: int | None = None
) -> NDArray[np.uint8]:
    """As `decode`, from the content of a file that messages call `name`."""
    return np.array(_decode(content, name, size=at_least))


def read_file(path: Path) -> bytes:
    """The content of an image file. Raises ImageError where it is missing, unreadable or, by its
    first bytes, no image; then the rest is not read."""
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise ImageError(
                f"{escape_name(path)}: is a folder, not an image. Give the path of one file."
            )
        if not stat.S_ISREG(status.st_mode):
            raise ImageError(
                f"{escape_name(path)}: is a pipe or a device, not an image file. {DROP}"
            )
        if not status.st_size:  # one of /proc would be waited for
            check_kind(path, b"")
        if status.st_size > MAX_BYTES:
            raise too_many_bytes(path, status.st_size)
        with path.open("rb") as file:
            check_kind(path, file.read(HEAD))
            file.seek(0)
            return file.read()
    except MemoryError as error:
        raise _too_large_for_memory(path) from error
    except (OSError, ValueError) as error:  # ValueError: a name with a zero byte
        raise _unreadable(path, error) from error


def too_many_bytes(name: Path | str, count: int) -> ImageError:
    """For a file of more than `MAX_BYTES`."""
    return ImageError(
        f"{escape_name(name)}: has {count} bytes; the limit is {MAX_BYTES}. Scale it down."
    )


def _decode(
    content: bytes,
    name: Path | str,
    *,
    size: int | None,
    resize: Resize = "squash",
    max_pixels: int = MAX_PIXELS,
) -> Image.Image:
    """`content` as an upright RGB image; ImageError if that cannot be.

    A JPEG comes smaller where it still has one and a half times the pixels a side that its square
    of `size` needs.
    """
    kind = check_kind(name, content[:HEAD])
    try:
        refuse_many_parts(name, content, kind, max_pixels)
        with open_header(io.BytesIO(content), kind) as image:
            refuse_bombs(name, image, content, max_pixels)
            # Not for CMYK: there libjpeg and the color profile must see the same ink.
            if size and isinstance(image, JpegImageFile) and image.mode in ("RGB", "L"):
                width, height = scaled(image.size, size, resize)
                image.draft(None, (max(int(width * 1.5), 1), max(int(height * 1.5), 1)))
            mend_transparency(image)
            image.load()
            return upright_rgb(name, image)
    except ImageError:
        raise
    except MemoryError as error:
        raise _too_large_for_memory(name) from error
    except Exception as error:  # bad bytes come out of Pillow's parsers as nearly any type
        raise _damaged(name, kind, error) from error


def _unreadable(path: Path, error: OSError | ValueError) -> ImageError:
    if isinstance(error, FileNotFoundError | ValueError):
        return ImageError(f"{escape_name(path)}: does not exist. Check the path.")
    reason = error.strerror or type(error).__name__
    return ImageError(f"{escape_name(path)}: cannot be read ({reason}). Make it readable.")


def _too_large_for_memory(name: Path | str) -> ImageError:
    return ImageError(
        f"{escape_name(name)}: needs more memory to decode than is available. "
        "Free some, or scale it down."
    )


def _damaged(name: Path | str, kind: str, error: Exception) -> ImageError:
    if isinstance(error, Image.DecompressionBombError | Image.DecompressionBombWarning):
        return ImageError(
            f"{escape_name(name)}: has more pixels than this program lets Pillow read "
            "(PIL.Image.MAX_IMAGE_PIXELS). Scale it down."
        )
    reason = escape_name(" ".join(str(error).split())) or type(error).__name__
    if isinstance(error, UnidentifiedImageError):
        reason = "its header is damaged or unusual"
    return ImageError(
        f"{escape_name(name)}: is {named(kind)}, truncated or damaged ({reason}). {DROP}"
    )
