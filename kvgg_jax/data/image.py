"""The one decode of a picture file: upright sRGB pixels, as a person sees them.

Training, evaluation, prediction and the web page all come here, so they cannot disagree.
"""

from __future__ import annotations

import errno
import io
import math
import os
import stat
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms, UnidentifiedImageError
from PIL.ExifTags import Base as Tag
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile

from kvgg_jax.data.kinds import DROP, HEAD, foreign, kind_of
from kvgg_jax.errors import ImageError, shown

SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".webp", ".tif", ".tiff")
MAX_PIXELS = 200_000_000  # 800 MB while decoded; the largest phone sensors have as many
LARGE = 25_000_000  # pixels, from which on a file must have the bytes of a photo,
PIXELS_PER_BYTE = 100  # ten times what the least JPEG quality takes; a decompression bomb has more
MAX_SIDE = 100_000  # pixels; each row takes memory of its own, however short it is
SCAN = 150_000_000  # pixels of one bit that need no bytes: A4 at 1200 dpi, faxed, has 700 a byte.
# All of one bit that are larger than LARGE are shrunk to it, before three bytes are made of each.
MAX_SCANS = 100  # of a progressive JPEG, each a pass over all pixels; cameras and editors write 10

# Pillow warns about large pictures, and warnings cannot be silenced safely in a thread pool:
# `_refuse_bombs` judges every header instead, before a pixel is decoded.
Image.MAX_IMAGE_PIXELS = None

_TURNS = {  # EXIF 2.32, tag 0x0112: what brings the stored picture upright
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def looks_like_image(path: Path) -> bool:
    """Whether the first 16 bytes of the file `path` are those of a format in `FORMATS`.

    Its suffix has no say. False for what is not a regular file: a folder, a pipe, a device.
    Raises ImageError if `path` is missing or unreadable.
    """
    try:
        status = path.stat()
        # Opening a pipe would wait for its writer; so would one of /proc, which says 0 bytes.
        if not stat.S_ISREG(status.st_mode) or not status.st_size:
            return False
        with path.open("rb", buffering=0) as file:
            return kind_of(file.read(HEAD)) is not None
    except (OSError, ValueError) as error:  # ValueError: a name with a zero byte
        raise _unreadable(path, error) from error


def load(path: Path, size: int) -> NDArray[np.uint8]:
    """The picture in `path`, squashed to a square: uint8 (size, size, 3), 0..255, sRGB.

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


def _squashed(picture: Image.Image, size: int) -> NDArray[np.uint8]:
    square = (size, size)  # no resampling at all where the picture has that size already
    return np.array(picture.resize(square, Image.Resampling.BILINEAR))


def decode(path: Path, *, at_least: int | None = None) -> NDArray[np.uint8]:
    """The picture in `path` as a person sees it: upright, over white, uint8 (H, W, 3), sRGB.

    With `at_least` (pixels, positive) a JPEG comes 2, 4 or 8 times smaller, much faster, where
    both sides keep one and a half times that. A scan of one bit a pixel and more than `LARGE` of
    them comes 2 or 3 times smaller. Of several frames the first. Raises ImageError, which names
    `path`, the reason and the next move, if there is no whole picture to be had.
    """
    return np.array(_read(path, at_least=at_least))


def _read(path: Path, *, at_least: int | None) -> Image.Image:
    """`path` as an upright RGB image; ImageError if that cannot be."""
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise ImageError(
                f"{shown(path)}: is a folder, not a picture. Give the path of one file."
            )
        if not stat.S_ISREG(status.st_mode):
            raise ImageError(f"{shown(path)}: is a pipe or a device, not a picture file. {DROP}")
        if not status.st_size:
            raise _empty(path)
        with path.open("rb") as file:
            head = file.read(HEAD)
            kind = kind_of(head)
            if kind is None:
                raise foreign(path, head)
            return _read_content(path, file, kind=kind, at_least=at_least)
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
        with Image.open(file, formats=(kind,)) as image:
            _refuse_bombs(path, image, file, max_pixels)
            # Not for CMYK: there libjpeg and the colour profile must see the same ink.
            if at_least and isinstance(image, JpegImageFile) and image.mode in ("RGB", "L"):
                image.draft(None, (at_least * 3 // 2, at_least * 3 // 2))
            _mend_transparency(image)
            image.load()
            return _upright_rgb(path, image)
    except ImageError:
        raise
    except Exception as error:  # bad bytes come out of Pillow's parsers as nearly any type
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
            raise  # the disk's error: the file may be sound. EINVAL: the file named a bad offset
        raise _damaged(path, kind, error) from error


def _refuse_bombs(path: Path | str, image: Image.Image, file: BinaryIO, max_pixels: int) -> None:
    """Raises ImageError for a small file that would take much memory or time."""
    tags = getattr(image, "tag_v2", {})
    tile = (tags.get(Tag.TileWidth, 0), tags.get(Tag.TileLength, 0))  # a TIFF may lie in these
    width, height = max(image.size, tile, key=lambda size: size[0] * size[1])
    if width * height > max_pixels:
        raise ImageError(
            f"{shown(path)}: has {width} x {height} pixels; the limit is {max_pixels} in all. "
            "Scale it down."
        )
    if max(width, height) > MAX_SIDE:
        raise ImageError(
            f"{shown(path)}: has {width} x {height} pixels; the limit is {MAX_SIDE} a side. "
            "Cut it into pieces."
        )
    length = _length(file)
    free = SCAN if image.mode == "1" else LARGE
    if width * height > max(free, length * PIXELS_PER_BYTE):
        raise ImageError(
            f"{shown(path)}: has {width} x {height} pixels in {length} bytes, as a decompression "
            f"bomb has and no photo. {DROP}"
        )
    if image.info.get("progressive") and (scans := _scans(file)) > MAX_SCANS:
        raise ImageError(
            f"{shown(path)}: has {scans} progressive scans; the limit is {MAX_SCANS}. {DROP}"
        )


def _length(file: BinaryIO) -> int:
    """In bytes."""
    place = file.tell()
    length = file.seek(0, os.SEEK_END)
    file.seek(place)
    return length


def _scans(file: BinaryIO) -> int:
    """Passes of a JPEG. Its marker cannot stand amid compressed data."""
    place = file.tell()
    file.seek(0)
    count = file.read().count(b"\xff\xda")
    file.seek(place)
    return count


def _mend_transparency(image: ImageFile) -> None:
    """Bring PNG's transparent colour to 8 bits: Pillow does so for the pixels only."""
    clear = image.info.get("transparency")
    if not isinstance(image, PngImageFile) or not image.tile:
        return
    raw_mode = image.tile[0].args
    if isinstance(clear, int) and raw_mode in ("L;2", "L;4"):
        image.info["transparency"] = clear * (85 if raw_mode == "L;2" else 17)
    elif isinstance(clear, tuple) and raw_mode == "RGB;16B":
        image.info["transparency"] = tuple(value >> 8 for value in clear)


def _upright_rgb(path: Path | str, image: Image.Image) -> Image.Image:
    """Loaded pixels of any mode -> RGB, colour-managed, over white, turned as EXIF says."""
    turn = _turn(image)
    pixels = _eight_bit(path, image)
    alpha = pixels.getchannel("A") if pixels.mode in ("LA", "RGBA") else None
    if alpha is not None:
        pixels = pixels.convert(pixels.mode.removesuffix("A"))
    pixels = _to_srgb(pixels, image.info.get("icc_profile"))
    if alpha is not None:
        white = Image.new("RGB", pixels.size, "white")
        white.paste(pixels, mask=alpha)
        pixels = white
    return pixels if turn is None else pixels.transpose(turn)


def _turn(image: Image.Image) -> Image.Transpose | None:
    """Ask after `load`: a TIFF has turned itself by then, a PNG may keep EXIF behind its pixels."""
    try:
        return _TURNS.get(image.getexif().get(Tag.Orientation, 1))
    except Exception:  # broken EXIF is no EXIF, as viewers hold; the pixels are fine
        return None


def _eight_bit(path: Path | str, image: Image.Image) -> Image.Image:
    """The same pixels in one of the modes L, LA, RGB, RGBA, CMYK."""
    if image.mode == "CMYK":
        return image
    if image.mode == "F" or image.mode.startswith("I"):
        return _grey_from_wide(path, image)
    if image.mode == "1" and image.width * image.height > LARGE:
        return _grey_from_scan(image)
    colour = "L" if image.mode in ("1", "L", "LA", "La") else "RGB"
    return _as(image, colour + "A" if image.has_transparency_data else colour)


def _as(image: Image.Image, mode: str) -> Image.Image:
    """`image.convert`, which would copy a large picture for nothing."""
    return image if image.mode == mode else image.convert(mode)


def _grey_from_scan(image: Image.Image) -> Image.Image:
    """Black and white averaged to grey, at `LARGE` pixels or fewer: a half, a third of each side.

    In bands, so that there is never a second picture of its size.
    """
    width, height = image.size
    by = math.ceil(math.sqrt(width * height / LARGE))
    grey = Image.new("L", (-(-width // by), -(-height // by)), 255)
    if image.info.get("transparency") == 0:  # black is clear, over white
        return grey
    for top in range(0, height, 256 * by):
        band = image.crop((0, top, width, min(top + 256 * by, height)))
        grey.paste(band.convert("L").reduce(by), (0, top // by))
    return grey


def _grey_from_wide(path: Path | str, image: Image.Image) -> Image.Image:
    """12 or 16 bits of grey -> 8; ImageError for 32, where no value is known to be white."""
    values = np.asarray(image)
    if image.mode == "F" or (image.mode == "I" and not 0 <= values.min() <= values.max() < 2**16):
        raise ImageError(
            f"{shown(path)}: has 32-bit pixels (mode {image.mode}), of which none is known to be "
            "white. Save it with 8 or 16 bits a channel."
        )
    tags = getattr(image, "tag_v2", {})
    white = 2**12 - 1 if tags.get(Tag.BitsPerSample) == (12,) else 2**16 - 1
    grey = ((values.astype(np.uint32) * 255 + white // 2) // white).astype(np.uint8)
    if tags.get(Tag.PhotometricInterpretation) == 0:  # MinIsWhite: Pillow inverts 8 bits only
        grey = 255 - grey
    clear = image.info.get("transparency")
    if isinstance(clear, int):
        grey[values == clear] = 255  # over white
    return Image.fromarray(grey)


def _to_srgb(image: Image.Image, icc: object) -> Image.Image:
    """L, RGB or CMYK -> RGB, through the embedded profile `icc` if it is one for such pixels."""
    transform = _transform(icc, image.mode) if isinstance(icc, bytes) else None
    return _as(image, "RGB") if transform is None else transform.apply(image)


@lru_cache(maxsize=16)  # a folder has a camera or two; a transform takes milliseconds to build
def _transform(icc: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """From the profile to sRGB. None where it is sRGB, is for other pixels, or is broken:
    viewers then take the pixels for sRGB."""
    srgb = ImageCms.createProfile("sRGB")
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(icc))
        if profile.profile.xcolor_space.strip() != {"L": "GRAY"}.get(mode, mode):
            return None
        transform = ImageCms.buildTransform(profile, srgb, mode, "RGB")
    except (OSError, ImageCms.PyCMSError):
        return None
    if mode != "RGB":
        return transform
    levels = np.linspace(0, 255, 9).astype(np.uint8)
    probe = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(27, 27, 3)
    moved = np.asarray(transform.apply(Image.fromarray(probe))).astype(int) - probe
    return None if np.abs(moved).max() <= 1 else transform  # 1: rounding, not another colour


def _empty(path: Path | str) -> ImageError:
    return ImageError(f"{shown(path)}: is empty (0 bytes). {DROP}")


def _unreadable(path: Path, error: OSError | ValueError) -> ImageError:
    if isinstance(error, FileNotFoundError | ValueError):
        return ImageError(f"{shown(path)}: does not exist. Check the path.")
    reason = error.strerror or type(error).__name__
    return ImageError(f"{shown(path)}: cannot be read ({reason}). Make it readable.")


def _damaged(path: Path | str, kind: str, error: Exception) -> ImageError:
    if isinstance(error, MemoryError):
        return ImageError(
            f"{shown(path)}: takes more memory to decode than there is. Free some, or scale it "
            "down."
        )
    reason = shown(" ".join(str(error).split())) or type(error).__name__
    if isinstance(error, Image.DecompressionBombError | Image.DecompressionBombWarning):
        return ImageError(f"{shown(path)}: is too large ({reason}). {DROP}")
    if isinstance(error, UnidentifiedImageError):
        reason = "its header is broken or of a rare kind"
    return ImageError(f"{shown(path)}: is a {kind} file, truncated or damaged ({reason}). {DROP}")
