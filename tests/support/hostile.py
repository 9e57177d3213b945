"""A folder of hostile images: what downloads, phones, editors and attackers leave among photos.

`KINDS` maps the name of a file to how it is made and what is right: an image, given by its size
and the colors of its corners, or an `ImageError`, given by its text after the path.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageCms

from kvgg_jax.data.decode.file_types import FORMATS, named
from support.images import (
    BEST,
    BLUE,
    GREEN,
    RED,
    WHITE,
    chunk,
    corners,
    encode,
    flat,
    grey_paper_profile,
    noise,
    p3_profile,
    png,
    profile,
    tiff,
)

Color = tuple[int, int, int]
Make = Callable[[Path], object]
DROP = "Replace or remove it."
TOO_MANY = "the limit is 200000000 in total. Scale it down."
TOO_LONG_SIDE = "the limit is 100000 per side. Cut it into pieces."
PILLOW = "the limit is 178956970 in total. Scale it down."  # its own, for WebP
SCANS = f"has too many scans; the limit is 32. {DROP}"
BOMB = f"like a decompression bomb. {DROP}"
STREAM = "broken data stream when reading image file"
HEADER = "its header is damaged or unusual"
TOO_LONG = "Decompressed data too large for PngImagePlugin.MAX_TEXT_CHUNK"
MINE = (200, 50, 40)  # of ordinary images here
BLACK = (0, 0, 0)
QUARTERS = (RED, GREEN, BLUE, WHITE)


@dataclass(frozen=True)
class Kind:
    """How to make a file, and what is right to say of it."""

    make: bytes | Make
    colors: tuple[Color, ...] = ()
    """Of the four corners, from the top left in reading order; one where all are alike."""
    size: tuple[int, int] = (16, 16)
    """Height and width of the image in pixels."""
    error: str = ""
    off: int = 0
    """Levels by which a lossy format may miss the colors."""
    mib: int = 300
    """Memory that it may take to read."""

    def write(self, path: Path) -> None:
        """Make the file at `path`."""
        if isinstance(self.make, bytes):
            path.write_bytes(self.make)
        else:
            self.make(path)


def right(
    make: bytes | Make,
    *colors: Color,
    size: tuple[int, int] = (16, 16),
    off: int = 0,
    mib: int = 300,
):
    return Kind(make, colors or (MINE,), size, off=off, mib=mib)


def wrong(make: bytes | Make, error: str):
    return Kind(make, error=error)


def damaged(content: bytes, kind: str, reason: str):
    return wrong(content, f"is {named(kind)}, truncated or damaged ({reason}). {DROP}")


def ordinary(kind: str = "PNG", **options: Any) -> bytes:
    return encode(flat("RGB", MINE), kind, **{**BEST[kind], **options})


def avif(size: tuple[int, int]) -> bytes:
    """Red, 16 pixels a side, which calls itself `size`."""
    content = encode(flat("RGB", RED), "AVIF")
    place = content.index(b"ispe") + 8  # ISO/IEC 23008-12, 6.5.3: behind version and flags
    return content[:place] + struct.pack(">II", *size) + content[place + 8 :]


def gif(canvas: tuple[int, int], frame: tuple[int, int] = (1, 1)) -> bytes:
    """Red, one pixel of data."""
    head = b"GIF89a" + struct.pack("<HH", *canvas) + b"\x80\0\0" + b"\xff\0\0\0\xff\0"
    return head + b"," + struct.pack("<HHHH", 0, 0, *frame) + b"\0" + b"\x02\x02\x44\x01\0;"


def webp(canvas: tuple[int, int]) -> bytes:
    """An animation of one pixel on a canvas of any size."""
    pixel = encode(flat("RGB", RED, (1, 1)), "WEBP", lossless=True)[12:]
    three = [(side - 1).to_bytes(3, "little") for side in canvas]
    frame = bytes(12) + (100).to_bytes(3, "little") + b"\0" + pixel
    parts = [
        b"VP8X" + struct.pack("<I", 10) + b"\x02\0\0\0" + three[0] + three[1],
        b"ANIM" + struct.pack("<I", 6) + bytes(6),
        b"ANMF" + struct.pack("<I", len(frame)) + frame,
    ]
    body = b"WEBP" + b"".join(parts)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def deflated_tiff(size: tuple[int, int]) -> bytes:
    """One bit a pixel, one strip, all zero."""
    width, height = size
    strip = zlib.compress(bytes(-(-width // 8) * height))
    fields = {256: width, 257: height, 258: 1, 259: 8, 262: 1, 273: 122, 278: height}
    fields |= {277: 1, 279: len(strip)}
    table = b"".join(struct.pack("<HHII", tag, 4, 1, fields[tag]) for tag in sorted(fields))
    return (b"II*\0" + struct.pack("<IH", 8, len(fields)) + table).ljust(122, b"\0") + strip


def bmp(size: tuple[int, int], compression: int, data: bytes) -> bytes:
    """Eight bits a pixel, a palette of two."""
    info = struct.pack("<IiiHHIIiiII", 40, *size, 1, 8, compression, len(data), 0, 0, 2, 2)
    return b"BM" + struct.pack("<IHHI", 62 + len(data), 0, 0, 62) + info + bytes(8) + data


def scan_bomb(mode: str = "RGB") -> bytes:
    """A progressive JPEG whose last pass is made two thousand times."""
    color = MINE if mode == "RGB" else 9
    whole = encode(flat(mode, color, (64, 64)), "JPEG", progressive=True)
    last = whole[whole.rindex(b"\xff\xda") : -2]
    return whole[:-2] + last * 2000 + whole[-2:]


def sequential_scan_bomb(times: int = 2000) -> bytes:
    """A JPEG that is not progressive: three channels, each in a pass of its own, `times` times."""
    grey = encode(flat("L", 9, (64, 64)), "JPEG")
    frame, start = grey.index(b"\xff\xc0"), grey.index(b"\xff\xda")
    channels = b"\1\x11\0\2\x11\0\3\x11\0"
    three = b"\xff\xc0" + struct.pack(">HBHHB", 17, 8, 64, 64, 3) + channels
    head = grey[:frame] + three + grey[frame + 13 : start]
    passes = [
        grey[start : start + 5] + bytes([channel]) + grey[start + 6 : -2] for channel in (1, 2, 3)
    ]
    return head + b"".join(passes) * times + b"\xff\xd9"


def jpeg_tiff(strip: bytes, size: tuple[int, int]) -> bytes:
    """Grey, one strip, which is a JPEG file."""
    fields = {256: size[0], 257: size[1], 258: 8, 259: 7, 262: 1, 273: 122, 277: 1, 278: size[1]}
    fields |= {279: len(strip)}
    table = b"".join(struct.pack("<HHII", tag, 4, 1, fields[tag]) for tag in sorted(fields))
    return (b"II*\0" + struct.pack("<IH", 8, len(fields)) + table).ljust(122, b"\0") + strip


def repeated_chunk(name: bytes, data: bytes, times: int) -> bytes:
    """A sound PNG with a chunk that comes so often."""
    whole = ordinary()
    return whole[:33] + chunk(name, data) * times + whole[33:]


def element_bomb(count: int = 7000) -> bytes:
    """A color profile of 57 KB in which one matrix is applied 7,000 times to each color."""
    matrix = b"matf" + bytes(4) + struct.pack(">HH12f", 3, 3, *np.eye(3).ravel(), 0, 0, 0)
    places = struct.pack(">II", 16 + 8 * count, len(matrix)) * count
    steps = b"mpet" + bytes(4) + struct.pack(">HHI", 3, 3, count) + places + matrix
    made = bytearray(profile(b"RGB ", b"XYZ ", {b"D2B0": steps}))
    made[8] = 4  # the version of ICC in which there are such steps
    return bytes(made)


def flipped(content: bytes) -> bytes:
    """One bit in the middle of it."""
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


def text_bomb() -> bytes:
    """A sound PNG with a text that unpacks to 20 MB."""
    whole, text = ordinary(), b"Comment\0\0" + zlib.compress(bytes(20_000_000), 1)
    return whole[:33] + chunk(b"zTXt", text) + whole[33:]


def icc_bomb() -> bytes:
    whole, packed = ordinary(), b"icc\0\0" + zlib.compress(bytes(20_000_000), 1)
    return whole[:33] + chunk(b"iCCP", packed) + whole[33:]


def stored(orientation: int, kind: str) -> bytes:
    """The four quarters, turned away by EXIF."""
    turns: dict[int, Callable[[Any], Any]] = {
        1: lambda a: a,
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.swapaxes(0, 1),
        6: np.rot90,
        7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
        8: lambda a: np.rot90(a, -1),
    }
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = np.ascontiguousarray(turns[orientation](corners(16, 32)))
    return encode(image, kind, exif=exif, **BEST[kind])


def clear_palette(kind: str) -> bytes:
    image = Image.new("P", (16, 16), 1)
    image.putpalette([*RED, *MINE, *BLUE])
    return encode(image, kind, transparency=1)


def animated(kind: str) -> bytes:
    return encode(flat("RGB", RED), kind, save_all=True, append_images=[flat("RGB", BLUE)])


def scan() -> bytes:
    """A fax of 150 million pixels, its upper half black, that lies on its side."""
    image, exif = Image.new("1", (12_500, 12_000), 1), Image.Exif()
    image.paste(0, (0, 0, 12_500, 6000))
    exif[0x0112] = 6  # its upper edge is to the right
    return encode(image, "TIFF", compression="group4", exif=exif)


def large_webp() -> bytes:
    return encode(flat("RGB", BLACK, (5000, 5000)), "WEBP", quality=1, method=0)


def many_frames() -> bytes:
    """Two thousand and one, the first of which is red."""
    more = [flat("RGB", (BLUE, GREEN)[number % 2]) for number in range(2000)]  # alike ones are one
    return encode(flat("RGB", RED), "GIF", save_all=True, append_images=more)


def srgb() -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def to_outside(path: Path) -> None:
    """A link to a sound image outside of the folder of photos."""
    outside = path.parents[2] / "outside.png"
    outside.write_bytes(ordinary())
    path.symlink_to(outside)


def folder(path: Path) -> None:
    """A folder called like an image, with an image in it."""
    path.mkdir()
    (path / "within.png").write_bytes(ordinary())


def locked(path: Path) -> None:
    path.write_bytes(ordinary())
    path.chmod(0)


def later(content: Callable[[], bytes]) -> Make:
    """For what takes long to make, or much memory to keep."""
    return lambda path: path.write_bytes(content())


def link(target: str) -> Make:
    return lambda path: path.symlink_to(target)


NAMES = (  # of sound images
    "with spaces.png",
    " leading and trailing .png ",
    "-rf.png",
    "--run=evil.png",
    "new\nline.png",
    "carriage\rreturn.png",
    "tab\t.png",
    "\x1b[31mred\x1b[0m.png",
    "\x1b]0;title\x07.png",
    "[red]markup[bold].png",
    "caf\u00e9.png",
    "cafe\u0301.png",
    "\u65e5\u672c\u8a9e.png",
    "\U0001f600.png",
    "right\u202eto left.png",
    "zero\u200bwidth.png",
    os.fsdecode(b"not utf-8 \xff\xfe.png"),
    "quote'\"`$(touch evaluated).png",
    "<script>alert(1)</script>.png".replace("/", "\u2215"),
    "comma,semicolon;.png",
    "*?.png",
    "\\back\\slash.png",
    "%s%n{0}.png",
    "n" * 251 + ".png",
    "UPPER.JPG",
    "no suffix",
    "CON.png",
)

KINDS: dict[str, Kind] = {
    # Not whole
    "empty.jpg": wrong(b"", f"is empty (0 bytes). {DROP}"),
    "one byte.jpg": wrong(b"\xff", f"is not a supported image ({', '.join(FORMATS)}). {DROP}"),
    "magic only.jpg": damaged(b"\xff\xd8\xff", "JPEG", HEADER),
    "cut.jpg": damaged(
        encode(noise(64), "JPEG")[:2000],
        "JPEG",
        "image file is truncated (138 bytes not processed)",
    ),
    "cut.png": damaged(encode(noise(64), "PNG")[:5000], "PNG", "image file is truncated"),
    "cut.gif": damaged(
        encode(noise(64), "GIF")[:3000], "GIF", "image file is truncated (160 bytes not processed)"
    ),
    "cut.bmp": damaged(
        encode(noise(64), "BMP")[:5000], "BMP", "image file is truncated (146 bytes not processed)"
    ),
    "cut.webp": damaged(
        encode(noise(64), "WEBP")[:1000], "WEBP", "could not create decoder object"
    ),
    "cut.avif": damaged(
        encode(noise(64), "AVIF")[:3000], "AVIF", "Failed to decode frame 0: Truncated data"
    ),
    "cut.tif": damaged(
        encode(noise(64), "TIFF")[:5000], "TIFF", "image file is truncated (60 bytes not processed)"
    ),
    "cut lzw.tif": damaged(
        encode(noise(64), "TIFF", compression="tiff_lzw")[:5000], "TIFF", HEADER
    ),
    "flipped.png": damaged(flipped(encode(noise(64), "PNG")), "PNG", STREAM),
    "zeros behind the head.jpg": damaged(ordinary("JPEG")[:100] + bytes(900), "JPEG", HEADER),
    "zeros.jpg": wrong(bytes(900), f"is not a supported image ({', '.join(FORMATS)}). {DROP}"),
    "noise.jpg": wrong(
        noise(16).tobytes(), f"is not a supported image ({', '.join(FORMATS)}). {DROP}"
    ),
    "no rows.png": damaged(png((16, 0), 8, 2, b""), "PNG", HEADER),
    "trailing.jpg": right(ordinary("JPEG") + b"PK\x03\x04" + bytes(900), off=4),
    # Something else
    "page.jpg": wrong(b"<!DOCTYPE html>\n<html>", f"is an HTML page, not an image. {DROP}"),
    "drawing.png": wrong(b"<svg xmlns=''/>", f"is an SVG drawing, not an image. {DROP}"),
    "pointer.png": wrong(b"version https://git-lfs", f"is text, not an image. {DROP}"),
    "paper.jpg": wrong(b"%PDF-1.7\n", f"is a PDF document, not an image. {DROP}"),
    "archive.jpg": wrong(b"PK\x03\x04" + bytes(30), f"is a ZIP archive, not an image. {DROP}"),
    "raw.jpg": wrong(
        b"\0\0\0\x18ftypcrx " + bytes(30),
        "is an image in Canon's raw format, which is not supported. Convert it to JPEG or PNG.",
    ),
    "pickle.png": wrong(
        b"cposix\nsystem\n(S'touch evaluated'\ntR.", f"is text, not an image. {DROP}"
    ),
    "script.eps.jpg": wrong(
        b"%!PS-Adobe-3.0 EPSF-3.0\n(evaluated) (w) file\n", f"is text, not an image. {DROP}"
    ),
    **{
        f"{kind} called {other}.{other}": right(ordinary(kind), off=4)
        for kind, other in zip(
            FORMATS, ("png", "gif", "jpg", "webp", "tif", "bmp", "heic"), strict=True
        )
    },
    # Bombs
    "bomb.png": wrong(
        png((20_000, 20_000), 1, 0, bytes(2500)), f"has 20000 x 20000 pixels; {TOO_MANY}"
    ),
    "bomb.gif": wrong(gif((65_535, 65_535)), f"has 65535 x 65535 pixels; {TOO_MANY}"),
    "bomb.tif": wrong(deflated_tiff((20_000, 20_000)), f"has 20000 x 20000 pixels; {TOO_MANY}"),
    "bomb.webp": wrong(webp((16_383, 16_383)), f"has 16383 x 16383 pixels; {PILLOW}"),
    "bomb.avif": damaged(avif((20_000, 20_000)), "AVIF", HEADER),  # a limit of libavif's
    "bomb.bmp": wrong(bmp((60_000, 60_000), 1, b"\0\1"), f"has 60000 x 60000 pixels; {TOO_MANY}"),
    "small bomb.png": wrong(
        png((14_000, 14_000), 1, 0, bytes(1750)), f"has 14000 x 14000 pixels in 23896 bytes, {BOMB}"
    ),
    "small bomb.gif": wrong(gif((14_000, 14_000)), f"has 14000 x 14000 pixels in 35 bytes, {BOMB}"),
    "small bomb.tif": wrong(
        deflated_tiff((14_000, 14_000)), f"has 14000 x 14000 pixels in 23948 bytes, {BOMB}"
    ),
    "small bomb.webp": wrong(webp((14_000, 14_000)), f"has 14000 x 14000 pixels; {PILLOW}"),
    "small bomb.avif": wrong(
        avif((14_000, 14_000)), f"has 14000 x 14000 pixels in 318 bytes, {BOMB}"
    ),
    "small bomb.bmp": wrong(
        bmp((14_000, 14_000), 1, b"\0\1"), f"has 14000 x 14000 pixels in 64 bytes, {BOMB}"
    ),
    "tile bomb.tif": wrong(
        tiff(b"\0", bits=(8,), photometric=1, tags={322: 65536, 323: 65536, 324: 256, 325: 64}),
        f"has 65536 x 65536 pixels; {TOO_MANY}",
    ),
    "scan bomb.jpg": wrong(scan_bomb(), SCANS),
    "sequential scan bomb.jpg": wrong(sequential_scan_bomb(), SCANS),
    "strip of scans.tif": wrong(jpeg_tiff(scan_bomb("L"), (64, 64)), SCANS),
    "segment bomb.jpg": wrong(
        b"\xff\xd8" + b"\xff\xfe\0\2" * 20_000 + ordinary("JPEG")[2:],
        f"has too many segments; the limit is 10000. {DROP}",
    ),
    "chunk bomb.png": wrong(
        repeated_chunk(b"prVt", b"", 20_000),
        f"has too many chunks; the limit is 1000 and one in 1000 bytes. {DROP}",
    ),
    "profiles bomb.png": wrong(
        repeated_chunk(b"iCCP", b"icc\0\0" + zlib.compress(bytes(1_000_000)), 50),
        f"has several color profiles; the limit is 1. {DROP}",
    ),
    "block bomb.gif": wrong(
        gif((1, 1))[:19] + b"!\xfe\1a\0" * 20_000 + gif((1, 1))[19:],
        f"has too many blocks before its image; the limit is 10000. {DROP}",
    ),
    "run-length bomb.bmp": wrong(
        bmp((5000, 5000), 1, b"\1\2\0\0" * 5000),
        "is a run-length encoded BMP of 5000 x 5000 pixels in 20062 bytes; the limit is 2000000 "
        "of both. Save it as PNG.",
    ),
    "tiles beyond the image.tif": wrong(
        tiff(b"\0", bits=(8,), photometric=1, tags={322: 99_984, 323: 1008, 324: 256, 325: 64}),
        f"has 99984 x 1008 pixels in 320 bytes, {BOMB}",
    ),
    "element bomb.png": right(ordinary(icc_profile=element_bomb())),
    "text bomb.png": damaged(text_bomb(), "PNG", TOO_LONG),
    "profile bomb.png": damaged(icc_bomb(), "PNG", TOO_LONG),
    "within the limit.png": right(
        later(lambda: png((5000, 5000), 8, 2, bytes(MINE) * 5000)), size=(5000, 5000)
    ),
    "within the limit.webp": right(later(large_webp), BLACK, size=(5000, 5000), mib=550),
    "clear within the limit.png": right(
        later(lambda: png((5000, 5000), 8, 6, bytes(4) * 5000)), WHITE, size=(5000, 5000), mib=550
    ),
    "frames bomb.gif": right(later(many_frames), RED),
    # Sizes
    "scan.tif": right(later(scan), WHITE, BLACK, WHITE, BLACK, size=(4167, 4000)),
    "scan.png": right(
        later(lambda: png((12_500, 12_000), 1, 0, b"\xff" * 1563)), WHITE, size=(4000, 4167)
    ),
    "1 x 24000000.png": wrong(
        png((1, 24_000_000), 8, 2, b""), f"has 1 x 24000000 pixels; {TOO_LONG_SIDE}"
    ),
    "1 x 1.png": right(encode(flat("RGB", MINE, (1, 1)), "PNG"), size=(1, 1)),
    "30000 x 1.png": right(encode(flat("RGB", MINE, (30_000, 1)), "PNG"), size=(1, 30_000)),
    "1 x 30000.jpg": right(
        encode(flat("RGB", MINE, (1, 30_000)), "JPEG", **BEST["JPEG"]), size=(30_000, 1), off=4
    ),
    # Depths and colors
    "16 bits.png": right(encode(flat("I;16", 100 * 257), "PNG"), (100, 100, 100)),
    "16 bits.tif": right(encode(flat("I;16", 100 * 257), "TIFF"), (100, 100, 100)),
    "16 bits color.png": right(png((4, 4), 16, 2, b"d" * 24), (100,) * 3, size=(4, 4)),
    "1 bit.tif": right(encode(flat("1", 0), "TIFF", compression="group4"), BLACK),
    "cmyk.jpg": right(encode(flat("CMYK", (0, 0, 255, 0)), "JPEG", quality=100), (255, 255, 0)),
    "cmyk with a profile.jpg": right(
        encode(flat("CMYK", (255, 0, 0, 0)), "JPEG", icc_profile=grey_paper_profile()), (119,) * 3
    ),
    "cmyk.tif": right(encode(flat("CMYK", (255, 0, 0, 0)), "TIFF"), (0, 255, 255)),
    "nan.tif": wrong(
        tiff(struct.pack("<f", float("nan")), bits=(32,), photometric=1, sample_format=3),
        "has 32-bit pixels (mode F), whose white value is unknown. Save it with 8 or 16 bits "
        "per channel.",
    ),
    "clear palette.png": right(clear_palette("PNG"), WHITE),
    "clear palette.gif": right(clear_palette("GIF"), WHITE),
    "half clear.webp": right(
        encode(flat("RGBA", (200, 100, 50, 51)), "WEBP", **BEST["WEBP"]), (244, 224, 214)
    ),
    "broken profile.png": right(ordinary(icc_profile=b"junk")),
    "cut profile.jpg": right(ordinary("JPEG", icc_profile=p3_profile()[:200]), off=4),
    "lying profile.png": right(ordinary(icc_profile=profile(b"RGB ", b"XYZ ", {b"rTRC": b"curv"}))),
    "foreign profile.png": right(ordinary(icc_profile=grey_paper_profile())),
    "srgb.png": right(ordinary(icc_profile=srgb())),
    "broken exif.png": right(ordinary(exif=b"Exif\0\0MM\0\x2anonsense")),
    # Turned, moving
    **{
        f"turned {turn}.{kind.lower()}": right(stored(turn, kind), *QUARTERS, size=(16, 32), off=4)
        for kind in ("JPEG", "PNG", "TIFF")
        for turn in range(1, 9)
    },
    **{
        f"animated.{kind.lower()}": right(animated(kind), RED, off=4)
        for kind in ("GIF", "PNG", "WEBP", "TIFF")
    },
    # Not files
    "loop.png": wrong(
        link("loop.png"),
        "cannot be read (Too many levels of symbolic links). Make it readable.",
    ),
    "dangling.png": wrong(link("nowhere.png"), "does not exist. Check the path."),
    "outside.png": right(to_outside),
    "device.png": wrong(link("/dev/zero"), f"is a pipe or a device, not an image file. {DROP}"),
    "kernel.png": wrong(link("/proc/kmsg"), f"is empty (0 bytes). {DROP}"),
    "pipe.png": wrong(os.mkfifo, f"is a pipe or a device, not an image file. {DROP}"),
    "locked.png": wrong(locked, "cannot be read (Permission denied). Make it readable."),
    "folder.png": wrong(folder, "is a folder, not an image. Give the path of one file."),
    "way up": wrong(link(".."), "is a folder, not an image. Give the path of one file."),
    # Names
    **{name: right(ordinary()) for name in NAMES},
}

UNLISTED = ("folder.png", "way up")  # a scan looks into the first and does not follow the second
CLASSES = ("\x1b[31mred\x1b[0m", "[bold]new\nline", "~; $(touch evaluated)")  # sorted


def write_corpus(root: Path) -> dict[Path, Kind]:
    """Every kind below `root`, spread over the classes in turn; root may read what is locked."""
    made: dict[Path, Kind] = {}
    for number, (name, kind) in enumerate(KINDS.items()):
        path = root / CLASSES[number % 3] / name
        path.parent.mkdir(parents=True, exist_ok=True)
        kind.write(path)
        made[path] = kind
    if os.geteuid() == 0:
        made[root / CLASSES[list(KINDS).index("locked.png") % 3] / "locked.png"] = right(b"")
    return made


def listed(corpus: dict[Path, Kind]) -> dict[Path, Kind]:
    """What a scan of the corpus finds."""
    found = {path: kind for path, kind in corpus.items() if path.name not in UNLISTED}
    (within,) = (path / "within.png" for path in corpus if path.name == "folder.png")
    return {**found, within: right(b"")}
