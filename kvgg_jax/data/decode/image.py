"""The one decode of an image file: upright sRGB pixels, as a person sees them.

Training, evaluation, prediction and the web page all come here, so they cannot disagree.
"""

from __future__ import annotations

import errno
import io
import stat
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from PIL.JpegImagePlugin import JpegImageFile

from kvgg_jax.core.errors import ImageError
from kvgg_jax.core.text import escape_name
from kvgg_jax.data.decode.color import mend_transparency, upright_rgb
from kvgg_jax.data.decode.file_types import DROP, HEAD, foreign, kind_not_read, kind_of
from kvgg_jax.data.decode.limits import MAX_PIXELS, open_header, refuse_bombs

T = TypeVar("T")

SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".webp", ".tif", ".tiff")


def looks_like_image(path: Path) -> bool:
    """Whether the first 16 bytes of the file `path` are those of an image.

    The suffix does not count. True for HEIC and the like too: `load` then gives the advice,
    where passing them over would train on a part of the photos. False for what is not a regular
    file: a folder, a pipe, a device.
    Raises ImageError if `path` is missing or unreadable.
    """
    try:
        status = path.stat()
        # Opening a pipe would wait for its writer; so would one of /proc, which says 0 bytes.
        if not stat.S_ISREG(status.st_mode) or not status.st_size:
            return False
        with path.open("rb", buffering=0) as file:
            head = file.read(HEAD)
            return (kind_of(head) or kind_not_read(head)) is not None
    except (OSError, ValueError) as error:  # ValueError: a name with a zero byte
        raise _unreadable(path, error) from error


def load(path: Path, size: int) -> NDArray[np.uint8]:
    """The image in `path`, squashed to a square: uint8 (size, size, 3), 0..255, sRGB.

    Bilinear with antialiasing; the aspect ratio is not kept, as in Keras'
    `image_dataset_from_directory`. Raises ImageError as `decode` does.
    """
    return _squashed(_read(path, at_least=size), size)


def load_bytes(
    content: bytes, size: int, *, name: str, max_pixels: int = MAX_PIXELS
) -> NDArray[np.uint8]:
    """As `load`, for the content of a file that its sender calls `name`; it touches no disk.

    Raises ImageError as `decode` does, for more than `max_pixels` too.
    """
    kind = kind_of(content[:HEAD])
    if not content:
        raise _empty(name)
    if kind is None:
        raise foreign(name, content[:HEAD])
    file = io.BytesIO(content)
    picture = _read_content(name, file, kind=kind, at_least=size, max_pixels=max_pixels)
    return _squashed(picture, size)


def read_file(path: Path) -> bytes:
    """The content of a picture file, for `load_bytes`. Raises ImageError as `decode` does where it
    is missing, unreadable or foreign."""

    def whole(file: BinaryIO, kind: str) -> bytes:
        file.seek(0)
        try:
            return file.read()
        except MemoryError as error:
            raise _damaged(path, kind, error) from error

    return _from_file(path, whole)


def _squashed(picture: Image.Image, size: int) -> NDArray[np.uint8]:
    if picture.size != (size, size):
        picture = picture.resize((size, size), Image.Resampling.BILINEAR)
    return np.array(picture)


def decode(path: Path, *, at_least: int | None = None) -> NDArray[np.uint8]:
    """The image in `path` as a person sees it: upright, over white, uint8 (H, W, 3), sRGB.

    With `at_least` (pixels, positive) a JPEG comes 2, 4 or 8 times smaller, much faster, where
    both sides keep one and a half times that. A scan of one bit a pixel and more than `LARGE` of
    them comes 2 or 3 times smaller. Of several frames the first. Raises ImageError, which names
    `path`, the reason and the next move, if the image is not complete.
    """
    return np.array(_read(path, at_least=at_least))


def _read(path: Path, *, at_least: int | None) -> Image.Image:
    """`path` as an upright RGB image; ImageError if that cannot be."""
    return _from_file(
        path, lambda file, kind: _read_content(path, file, kind=kind, at_least=at_least)
    )


def _from_file(path: Path, function: Callable[[BinaryIO, str], T]) -> T:
    """`function` of the open file and its format; ImageError where it is no picture file."""
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
        if not status.st_size:
            raise _empty(path)
        with path.open("rb") as file:
            head = file.read(HEAD)
            kind = kind_of(head)
            if kind is None:
                raise foreign(path, head)
            return function(file, kind)
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from error


def _read_content(
    path: Path | str,
    file: BinaryIO,
    *,
    kind: str,
    at_least: int | None,
    max_pixels: int = MAX_PIXELS,
) -> Image.Image:
    """The pixels of an open `file` of format `kind`; OSError only if the disk fails."""
    try:
        with open_header(file, kind) as image:
            refuse_bombs(path, image, file, max_pixels)
            # Not for CMYK: there libjpeg and the color profile must see the same ink.
            if at_least and isinstance(image, JpegImageFile) and image.mode in ("RGB", "L"):
                image.draft(None, (at_least * 3 // 2, at_least * 3 // 2))
            mend_transparency(image)
            image.load()
            return upright_rgb(path, image)
    except ImageError:
        raise
    except Exception as error:  # bad bytes come out of Pillow's parsers as nearly any type
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
            raise  # the disk's error: the file may be sound. EINVAL: the file named a bad offset
        raise _damaged(path, kind, error) from error


def _empty(path: Path | str) -> ImageError:
    return ImageError(f"{escape_name(path)}: is empty (0 bytes). {DROP}")


def _unreadable(path: Path, error: OSError | ValueError) -> ImageError:
    if isinstance(error, FileNotFoundError | ValueError):
        return ImageError(f"{escape_name(path)}: does not exist. Check the path.")
    reason = error.strerror or type(error).__name__
    return ImageError(f"{escape_name(path)}: cannot be read ({reason}). Make it readable.")


def _damaged(path: Path | str, kind: str, error: Exception) -> ImageError:
    if isinstance(error, MemoryError):
        return ImageError(
            f"{escape_name(path)}: needs more memory to decode than is available. "
            "Free some, or scale it down."
        )
    reason = escape_name(" ".join(str(error).split())) or type(error).__name__
    if isinstance(error, Image.DecompressionBombError | Image.DecompressionBombWarning):
        return ImageError(f"{escape_name(path)}: is too large ({reason}). {DROP}")
    if isinstance(error, UnidentifiedImageError):
        reason = "its header is damaged or unusual"
    return ImageError(
        f"{escape_name(path)}: is a {kind} file, truncated or damaged ({reason}). {DROP}"
    )
