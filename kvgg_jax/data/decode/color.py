"""Pixels of any mode -> RGB, color-managed, over white, upright: as viewers show them."""

from __future__ import annotations

import io
import math
import re
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms
from PIL.ExifTags import Base as Tag
from PIL.ImageFile import ImageFile
from PIL.PngImagePlugin import PngImageFile

from kvgg_jax.core.errors import ImageError
from kvgg_jax.core.text import escape_name
from kvgg_jax.data.decode.limits import LARGE

KEPT = 65_536  # bytes of a color profile
MAX_ELEMENTS = 16  # multi-processing elements of a profile
_TURNS = {  # EXIF 2.32, tag 0x0112: what brings the stored image upright
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def mend_transparency(image: ImageFile) -> None:
    """Bring PNG's transparent color to 8 bits: Pillow does so for the pixels only."""
    clear = image.info.get("transparency")
    if not isinstance(image, PngImageFile) or not image.tile:
        return
    raw_mode = image.tile[0].args
    if isinstance(clear, int) and raw_mode in ("L;2", "L;4"):
        image.info["transparency"] = clear * (85 if raw_mode == "L;2" else 17)
    elif isinstance(clear, tuple) and raw_mode == "RGB;16B":
        image.info["transparency"] = tuple(value >> 8 for value in clear)


def upright_rgb(name: Path | str, image: Image.Image) -> Image.Image:
    """Loaded pixels of any mode -> RGB, color-managed, over white, turned as EXIF says."""
    turn = _turn(image)
    pixels = _eight_bit(name, image)
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


def _eight_bit(name: Path | str, image: Image.Image) -> Image.Image:
    """The same pixels in one of the modes L, LA, RGB, RGBA, CMYK."""
    if image.mode == "CMYK":
        return image
    if image.mode == "F" or image.mode.startswith("I"):
        return _grey_from_wide(name, image)
    if image.mode == "1" and image.width * image.height > LARGE:
        return _grey_from_scan(image)
    color = "L" if image.mode in ("1", "L", "LA", "La") else "RGB"
    return _as(image, color + "A" if image.has_transparency_data else color)


def _as(image: Image.Image, mode: str) -> Image.Image:
    """`image.convert`, which would copy a large image for nothing."""
    return image if image.mode == mode else image.convert(mode)


def _grey_from_scan(image: Image.Image) -> Image.Image:
    """Black and white averaged to grey, at `LARGE` pixels or fewer: a half, a third of each side.

    In bands, so that there is never a second image of its size.
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


def _grey_from_wide(name: Path | str, image: Image.Image) -> Image.Image:
    """12 or 16 bits of gray -> 8; ImageError for 32, where no value is known to be white."""
    values = np.asarray(image)
    if image.mode == "F" or (image.mode == "I" and not 0 <= values.min() <= values.max() < 2**16):
        raise ImageError(
            f"{escape_name(name)}: has 32-bit pixels (mode {image.mode}), whose white "
            "value is unknown. Save it with 8 or 16 bits per channel."
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
    if not isinstance(icc, bytes) or _has_many_elements(icc):
        return _as(image, "RGB")
    # A large profile is not kept: it would stay in the memory of a server.
    transform = (_transform if len(icc) <= KEPT else _transform.__wrapped__)(icc, image.mode)
    return _as(image, "RGB") if transform is None else transform.apply(image)


def _has_many_elements(icc: bytes) -> bool:
    """Whether a color would pass through more steps than any real profile has: a few bytes of the
    file for each, and each is computed for every color (ICC.1:2022, 10.16)."""
    counts = (icc[found.end() + 8 : found.end() + 12] for found in re.finditer(b"mpet", icc))
    return any(int.from_bytes(count) > MAX_ELEMENTS for count in counts)


@lru_cache(maxsize=16)  # a folder has a camera or two, and a transform takes milliseconds to build
def _transform(icc: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """From the profile to sRGB. None where it is sRGB, is for other pixels, or is broken:
    viewers then take the pixels for sRGB."""
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(icc))
        if profile.profile.xcolor_space.strip() != {"L": "GRAY"}.get(mode, mode):
            return None
        transform = ImageCms.buildTransform(profile, ImageCms.createProfile("sRGB"), mode, "RGB")
    except (OSError, ImageCms.PyCMSError):
        return None
    if mode != "RGB":
        return transform
    levels = np.linspace(0, 255, 9).astype(np.uint8)
    probe = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(27, 27, 3)
    moved = np.asarray(transform.apply(Image.fromarray(probe))).astype(int) - probe
    return None if np.abs(moved).max() <= 1 else transform  # 1: rounding, not another color
