"""What a file is, by its first bytes: an image in one of `FORMATS`, or something else."""

from __future__ import annotations

from pathlib import Path

from kvgg_jax.core.errors import ImageError
from kvgg_jax.core.text import escape_name

FORMATS = ("JPEG", "PNG", "BMP", "GIF", "WEBP", "TIFF")
DROP = "Replace or remove it."
_CONVERT = "Convert it to JPEG or PNG."
HEAD = 16  # bytes that tell a format
_MAGIC = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"II+\0", "TIFF"),
    (b"MM\0+", "TIFF"),
)
_BMP_HEADERS = (12, 16, 40, 52, 56, 64, 108, 124)  # bytes, the length field that follows "BM"
_BRANDS = {  # of ISO media files, which are videos otherwise
    **dict.fromkeys((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx"), "HEIC"),
    **dict.fromkeys((b"mif1", b"mif2", b"msf1"), "HEIC"),
    **dict.fromkeys((b"avif", b"avis"), "AVIF"),
    b"crx ": "Canon's raw format",
}
_FOREIGN = (
    (b"<!doctype", "an HTML page"),
    (b"<html", "an HTML page"),
    (b"<svg", "an SVG drawing"),
    (b"<?xml", "an XML file"),
    (b"%pdf", "a PDF document"),
    (b"pk\x03\x04", "a ZIP archive"),
)


def kind_of(head: bytes) -> str | None:
    """The name in `FORMATS` to which the first 16 bytes belong."""
    if head[:2] == b"BM" and int.from_bytes(head[14:16], "little") in _BMP_HEADERS:
        return "BMP"  # two letters alone would match a text about a BMW
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WEBP"
    return next((name for magic, name in _MAGIC if head.startswith(magic)), None)


def kind_not_read(head: bytes) -> str | None:
    """The name of a format of images that is known and not read, such as HEIC."""
    return _BRANDS.get(head[8:12]) if head[4:8] == b"ftyp" else None


def foreign(path: Path | str, head: bytes) -> ImageError:
    """The error for a file whose first 16 bytes are not those of an image in `FORMATS`."""
    if name := kind_not_read(head):
        return ImageError(
            f"{escape_name(path)}: is an image in {name}, which is not supported. {_CONVERT}"
        )
    if head[4:8] == b"ftyp":
        return ImageError(f"{escape_name(path)}: is a video, not an image. {DROP}")
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    for magic, name in _FOREIGN:
        if start.startswith(magic):
            return ImageError(f"{escape_name(path)}: is {name}, not an image. {DROP}")
    if all(32 <= byte < 127 or byte in b"\t\r\n" for byte in head):
        return ImageError(f"{escape_name(path)}: is text, not an image. {DROP}")
    return ImageError(
        f"{escape_name(path)}: is not a supported image ({', '.join(FORMATS)}). {DROP}"
    )
