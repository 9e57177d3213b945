"""What a file is, by its first bytes: an image in one of `FORMATS`, or something else."""

from __future__ import annotations

from pathlib import Path

from PIL import features

from kvgg_jax.core.errors import ImageError
from kvgg_jax.core.extras import how_to_add, missing_from
from kvgg_jax.core.text import escape_name

FORMATS = ("JPEG", "PNG", "BMP", "GIF", "WEBP", "TIFF", "AVIF")
"""What Pillow reads; `HEIC` too with the extra of that name."""
HEIC = "HEIC"
DROP = "Replace or remove it."
HEAD = 64  # bytes by which a format is known
_MAGIC = {
    "JPEG": (b"\xff\xd8\xff",),
    "PNG": (b"\x89PNG\r\n\x1a\n",),
    "GIF": (b"GIF87a", b"GIF89a"),
    "TIFF": (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),
}
_BMP_HEADERS = (12, 16, 40, 52, 56, 64, 108, 124)  # bytes, the length field that follows "BM"
_AVIF = (b"avif", b"avis")
_ANY_CODEC = (b"mif1", b"mif2", b"msf1")
_BRANDS = {  # of ISO media files, which are videos otherwise
    **dict.fromkeys((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx"), HEIC),
    **dict.fromkeys(_AVIF, "AVIF"),
    b"crx ": "Canon's raw format",
}
_FOREIGN: dict[str, bytes | tuple[bytes, ...]] = {
    "an HTML page": (b"<!doctype", b"<html"),
    "an SVG drawing": b"<svg",
    "an XML file": b"<?xml",
    "a PDF document": b"%pdf",
    "a ZIP archive": b"pk\x03\x04",
}


def kind_of(head: bytes) -> str | None:
    """The name in `FORMATS` to which the first 64 bytes belong, or HEIC where that can be read."""
    if head[:2] == b"BM" and int.from_bytes(head[14:16], "little") in _BMP_HEADERS:
        return "BMP"  # two letters alone would match a text about a BMW
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WEBP"
    if (kind := _media_kind(head)) and _can_read(kind):
        return kind
    return next((name for name, magic in _MAGIC.items() if head.startswith(magic)), None)


def kind_not_read(head: bytes) -> str | None:
    """The name of an image format that is known but not supported here, such as a raw one."""
    kind = _media_kind(head)
    return kind if kind and not _can_read(kind) else None


def _media_kind(head: bytes) -> str | None:
    """Of an ISO media file, by its brand; by those it is compatible with where that tells no codec
    (ISO/IEC 14496-12, 4.3)."""
    if head[4:8] != b"ftyp":
        return None
    if (brand := head[8:12]) not in _ANY_CODEC:
        return _BRANDS.get(brand)
    end = min(int.from_bytes(head[:4]), len(head))
    others = {head[place : place + 4] for place in range(16, end, 4)}
    return "AVIF" if others.intersection(_AVIF) else HEIC


def _can_read(kind: str) -> bool:
    if kind == HEIC:
        return not missing_from("heic")
    return kind == "AVIF" and bool(features.check("avif"))  # some builds of Pillow lack it


def check_kind(name: Path | str, head: bytes) -> str:
    """The name in `FORMATS`, or HEIC, of a file with these first 64 bytes. Raises ImageError, which
    says what it is instead."""
    if kind := kind_of(head):
        return kind
    raise ImageError(f"{escape_name(name)}: {_what_it_is(head)}")


def named(kind: str) -> str:
    """A file of it, in a sentence."""
    return f"{'an' if kind == 'AVIF' else 'a'} {kind} file"


def _what_it_is(head: bytes) -> str:
    if not head:
        return f"is empty (0 bytes). {DROP}"
    if kind := kind_not_read(head):
        add = f", or add what reads it: {how_to_add('heic')}" if kind == HEIC else "."
        return f"is an image in {kind}, which is not supported. Convert it to JPEG or PNG{add}"
    if head[4:8] == b"ftyp":
        return f"is a video, not an image. {DROP}"
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    for what, magic in _FOREIGN.items():
        if start.startswith(magic):
            return f"is {what}, not an image. {DROP}"
    if all(32 <= byte < 127 or byte in b"\t\r\n" for byte in head[:16]):
        return f"is text, not an image. {DROP}"
    return f"is not a supported image ({', '.join(FORMATS)}). {DROP}"
