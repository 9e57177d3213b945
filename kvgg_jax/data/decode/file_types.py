"""What a file is, by its first bytes: an image in one of `FORMATS`, or something else."""

from __future__ import annotations

from pathlib import Path

from kvgg_jax.core.errors import ImageError
from kvgg_jax.core.text import escape_name

FORMATS = ("JPEG", "PNG", "BMP", "GIF", "WEBP", "TIFF")
DROP = "Replace or remove it."
HEAD = 16  # bytes by which a format is known
_MAGIC = {
    "JPEG": (b"\xff\xd8\xff",),
    "PNG": (b"\x89PNG\r\n\x1a\n",),
    "GIF": (b"GIF87a", b"GIF89a"),
    "TIFF": (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),
}
_BMP_HEADERS = (12, 16, 40, 52, 56, 64, 108, 124)  # bytes, the length field that follows "BM"
_BRANDS = {  # of ISO media files, which are videos otherwise
    **dict.fromkeys((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx"), "HEIC"),
    **dict.fromkeys((b"mif1", b"mif2", b"msf1"), "HEIC"),
    **dict.fromkeys((b"avif", b"avis"), "AVIF"),
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
    """The name in `FORMATS` to which the first 16 bytes belong."""
    if head[:2] == b"BM" and int.from_bytes(head[14:16], "little") in _BMP_HEADERS:
        return "BMP"  # two letters alone would match a text about a BMW
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WEBP"
    return next((name for name, magic in _MAGIC.items() if head.startswith(magic)), None)


def kind_not_read(head: bytes) -> str | None:
    """The name of an image format that is known but not supported, such as HEIC."""
    return _BRANDS.get(head[8:12]) if head[4:8] == b"ftyp" else None


def check_kind(name: Path | str, head: bytes) -> str:
    """The name in `FORMATS` of a file with these first 16 bytes. Raises ImageError, which says what
    it is instead."""
    if kind := kind_of(head):
        return kind
    raise ImageError(f"{escape_name(name)}: {_what_it_is(head)}")


def _what_it_is(head: bytes) -> str:
    if not head:
        return f"is empty (0 bytes). {DROP}"
    if kind := kind_not_read(head):
        return f"is an image in {kind}, which is not supported. Convert it to JPEG or PNG."
    if head[4:8] == b"ftyp":
        return f"is a video, not an image. {DROP}"
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    for what, magic in _FOREIGN.items():
        if start.startswith(magic):
            return f"is {what}, not an image. {DROP}"
    if all(32 <= byte < 127 or byte in b"\t\r\n" for byte in head):
        return f"is text, not an image. {DROP}"
    return f"is not a supported image ({', '.join(FORMATS)}). {DROP}"
