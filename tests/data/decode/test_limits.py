"""Files that would take much more memory or work than a photo are refused before decoding."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any, NoReturn

import pytest
from PIL import Image

from kvgg_jax.core.errors import ImageError
from kvgg_jax.data.decode.image import decode, load_bytes, load_square
from kvgg_jax.data.decode.limits import (
    _too_many_blocks,
    _too_many_chunks,
    _too_many_segments,
    _webp_size,
)
from support.hostile import jpeg_tiff, scan_bomb, sequential_scan_bomb
from support.images import (
    BLUE,
    RED,
    chunk,
    encode,
    flat,
    message,
    noise,
    png,
    tiff,
    write,
)


def with_comments(count: int) -> bytes:
    """A JPEG with so many empty comments before its image."""
    whole = encode(noise(16), "JPEG")
    return whole[:2] + b"\xff\xfe\0\2" * count + whole[2:]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file name that claims nothing."""
    return tmp_path / "photo"


def test_an_oversized_image_is_refused_by_its_header(file: Path) -> None:
    """No pixel of it is there to decode; the message gives size and limit."""
    content = png((20_000, 10_001), 8, 2, b"")
    assert message(lambda: decode(write(file, content))) == (
        f"{file}: has 20000 x 10001 pixels; the limit is 200000000 in total. Scale it down."
    )


def test_an_oversized_tile_is_refused(file: Path) -> None:
    """A TIFF of 8 x 8 may ask for tiles that fill the memory."""
    tags = {322: 65536, 323: 65536, 324: 256, 325: 64}
    content = tiff(b"\0", bits=(8,), photometric=1, tags=tags)
    assert message(lambda: decode(write(file, content))) == (
        f"{file}: has 65536 x 65536 pixels; the limit is 200000000 in total. Scale it down."
    )


def test_a_large_image_within_the_limit_brings_no_warning(file: Path) -> None:
    """Pillow alone warns from 90 megapixels on; here 196 get as far as their missing pixels."""
    content = png((14_000, 14_000), 8, 0, b"") + bytes(2_000_000)  # as long as a photo of that size
    assert message(lambda: decode(write(file, content))) == (
        f"{file}: is a PNG file, truncated or damaged (image file is truncated (0 bytes not "
        "processed)). Replace or remove it."
    )


def test_pillow_s_own_limit_is_that_of_the_host(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It does not change what is read here; where Pillow applies it, the message says so."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    for kind in ("PNG", "JPEG", "BMP"):
        assert decode(write(file, encode(noise(16), kind))).shape == (16, 16, 3)
    for kind in ("WEBP", "TIFF", "GIF"):
        content = encode(noise(16), kind)
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
        assert decode(write(file, content)).shape == (16, 16, 3)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    assert message(lambda: decode(write(file, encode(noise(16), "WEBP")))) == (
        f"{file}: has 16 x 16 pixels; the limit is 20 in total. Scale it down."
    )


def test_where_pillow_refuses_pixels_the_message_is_ours(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It then checks more than is known from the header."""

    def refuse(*_: object) -> NoReturn:
        raise Image.DecompressionBombError("could be decompression bomb DOS attack.")

    monkeypatch.setattr("kvgg_jax.data.decode.image.open_header", refuse)
    assert message(lambda: decode(write(file, encode(noise(16), "PNG")))) == (
        f"{file}: has more pixels than this program lets Pillow read "
        "(PIL.Image.MAX_IMAGE_PIXELS). Scale it down."
    )


def test_a_server_can_have_a_lower_limit_of_pixels() -> None:
    """The message names it."""
    content = encode(flat("RGB", RED, (20, 10)), "PNG")
    square = load_square(content, 8, "squash", name="a.png", max_pixels=200)
    assert (square.pixels.shape, square.photo) == ((8, 8, 3), (20, 10))
    with pytest.raises(ImageError, match=r"^a\.png: has 20 x 10 pixels; the limit is 199 in total"):
        load_square(content, 8, "squash", name="a.png", max_pixels=199)


def test_a_file_of_more_than_two_gib_is_not_read(file: Path) -> None:
    """Its size is known before."""
    with file.open("wb") as sparse:
        sparse.truncate(2**31 + 1)
    assert message(lambda: decode(file)) == (
        f"{file}: has 2147483649 bytes; the limit is 2147483648. Scale it down."
    )


@pytest.mark.parametrize("size", [(1, 1), (300, 7), (5000, 3)])
@pytest.mark.parametrize("options", [{}, {"lossless": True}, {"save_all": True}, {"exif": b"x"}])
def test_the_size_of_a_webp_is_read_from_its_header(
    size: tuple[int, int], options: dict[str, Any]
) -> None:
    """Lossy, lossless, and with a canvas, as an animation or with metadata."""
    if "save_all" in options:
        options = {**options, "append_images": [flat("RGB", BLUE, size)]}
    assert _webp_size(encode(flat("RGB", RED, size), "WEBP", **options)) == size


SCAN = "has too many scans; the limit is 32. Replace or remove it."


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (sequential_scan_bomb(10), None),
        (sequential_scan_bomb(11), SCAN),  # 33
        (sequential_scan_bomb(1) + sequential_scan_bomb(50), None),  # another image behind it
        (with_comments(9900), None),
        (with_comments(9999), "has too many segments; the limit is 10000. Replace or remove it."),
        # Pillow takes these two for markers without a length: what seems to be skipped is read
        (
            b"\xff\xd8\xff\xf0\xff\xf0" + with_comments(20_000)[2:],
            "has too many segments; the limit is 10000. Replace or remove it.",
        ),
        (
            b"\xff\xd8" + b"\xff" * 20_000 + with_comments(0)[2:],
            "has too many segments; the limit is 10000. Replace or remove it.",
        ),
    ],
    ids=["30 scans", "33 scans", "in a second image", "9900", "9999", "bare markers", "padding"],
)
def test_scans_and_segments_of_a_jpeg_are_counted(content: bytes, reason: str | None) -> None:
    """Those that the decoder reads, and no others."""
    assert _too_many_segments(content) == reason


def test_a_jpeg_in_a_tiff_is_counted_strip_by_strip() -> None:
    """Many strips of one scan each are ordinary; a length of 0 means up to the end."""
    pixels = Image.fromarray(noise(256))
    strips = encode(pixels, "TIFF", compression="jpeg", tiffinfo={278: 8})
    assert strips.count(b"\xff\xda") == 32
    assert load_bytes(strips, 8, name="x").shape == (8, 8, 3)
    bomb = jpeg_tiff(scan_bomb("L"), (64, 64))
    length = struct.pack("<HHI", 279, 4, 1)
    place = bomb.index(length) + len(length)
    for content in (bomb, bomb[:place] + bytes(4) + bomb[place + 4 :]):
        assert message(lambda c=content: load_bytes(c, 8, name="x")) == f"x: {SCAN}"


def test_chunks_of_a_png_may_be_many_where_the_file_is_long() -> None:
    """As an encoder writes them, of 8 KiB each; and a thousand short ones."""
    head, end = png((1, 1), 8, 2, b"abc")[:33], png((1, 1), 8, 2, b"abc")[33:]
    for count, length, is_fine in ((900, 0, True), (1100, 0, False), (3000, 8192, True)):
        content = head + chunk(b"prVt", bytes(length)) * count + end
        assert (_too_many_chunks(content) is None) is is_fine


def test_blocks_of_a_gif_end_at_its_first_image() -> None:
    """A comment of a megabyte passes; what follows the first image is not read."""
    frames = [flat("RGB", (n % 256, n // 256, 9)) for n in range(300)]
    assert _too_many_blocks(encode(frames[0], "GIF", save_all=True, append_images=frames)) is None
    assert _too_many_blocks(encode(frames[0], "GIF", comment=bytes(1_000_000))) is None
    assert _too_many_blocks(encode(frames[0], "GIF", comment=bytes(3_000_000))) is not None
    assert _too_many_blocks(b"GIF89a") is None
