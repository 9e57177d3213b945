"""One decode for all: every kind of file as a person sees it, or one clear ImageError."""

from __future__ import annotations

import io
import os
import struct
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from kvgg_jax.core.errors import ImageError
from kvgg_jax.data.decode import color
from kvgg_jax.data.decode.file_types import FORMATS, named
from kvgg_jax.data.decode.image import decode, load, load_bytes, looks_like_image
from support.hostile import KINDS
from support.images import (
    BEST,
    BLUE,
    RED,
    STORED,
    WHITE,
    corners,
    encode,
    flat,
    grey_paper_profile,
    message,
    noise,
    p3_profile,
    soft,
    write,
)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file name that claims nothing."""
    return tmp_path / "photo"


# Formats


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF", "AVIF"])
def test_of_several_frames_the_first_counts(kind: str, file: Path) -> None:
    """An animation, or a TIFF of pages, is its first image."""
    more = [flat("RGB", BLUE)]
    write(file, encode(flat("RGB", RED), kind, save_all=True, append_images=more))
    assert np.abs(decode(file).astype(int) - RED).max() <= 2


def test_a_gif_with_bad_later_frames_still_reads(file: Path) -> None:
    """Only the first frame has to be sound."""
    frames = [Image.fromarray(noise(32)), Image.fromarray(noise(32)[::-1])]
    first = encode(frames[0], "GIF")
    whole = encode(frames[0], "GIF", save_all=True, append_images=frames[1:])
    expected = decode(write(file, first))
    assert (decode(write(file, whole[: len(first) + 300])) == expected).all()


def test_a_phone_s_two_image_jpeg_reads_as_jpeg(file: Path) -> None:
    """MPO: a JPEG with a second image behind it, at full and at reduced size."""
    image = Image.fromarray(soft(256))
    content = encode(image, "MPO", save_all=True, append_images=[flat("RGB", RED)])
    write(file, content)
    assert np.abs(decode(file).astype(int) - soft(256)).max() < 12
    assert decode(file, at_least=32).shape == (64, 64, 3)


# Modes


def palette_image() -> Image.Image:
    image = Image.new("P", (16, 16), 1)
    image.putpalette([*WHITE, 10, 20, 30, *RED])
    return image


# Orientation


@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
def test_every_exif_orientation_gives_the_same_upright_image(
    kind: str, orientation: int, file: Path
) -> None:
    """A phone held any way shows the same image, at full and at reduced size."""
    upright = corners(32, 64)
    stored = np.ascontiguousarray(STORED[orientation](upright))
    exif = Image.Exif()
    exif[0x0112] = orientation
    write(file, encode(stored, kind, exif=exif, **BEST[kind]))
    assert np.abs(decode(file).astype(int) - upright).max() <= (
        4 if kind in ("JPEG", "AVIF") else 0
    )
    small = decode(file, at_least=8)
    assert small.shape == ((16, 32, 3) if kind == "JPEG" else upright.shape)
    assert np.abs(load(file, 2).astype(int) - corners(2, 2)).mean() < 45  # blurred, not turned


@pytest.mark.parametrize("value", [0, 9, 77])
def test_an_orientation_that_means_nothing_turns_nothing(value: int, file: Path) -> None:
    """Only 2 to 8 turn an image."""
    exif = Image.Exif()
    exif[0x0112] = value
    assert (decode(write(file, encode(corners(), "PNG", exif=exif))) == corners()).all()


def test_broken_exif_is_no_exif(file: Path) -> None:
    """Viewers show such a photo as it lies; so does decode."""
    content = encode(corners(), "PNG", exif=b"Exif\0\0MM\0\x2anonsense")
    assert (decode(write(file, content)) == corners()).all()


# Color


# Size


def test_load_squashes_to_a_square(file: Path) -> None:
    """The aspect ratio is not kept, as in image_dataset_from_directory."""
    loaded = load(write(file, encode(corners(32, 64), "PNG")), 16)
    assert loaded.dtype == np.uint8
    assert loaded.shape == (16, 16, 3)
    assert (loaded[:7, :7] == RED).all()
    assert (loaded[9:, 9:] == WHITE).all()
    assert loaded.flags.writeable


def test_load_leaves_the_right_size_alone(file: Path) -> None:
    """No resampling where there is nothing to resample."""
    assert (load(write(file, encode(noise(32), "PNG")), 32) == noise(32)).all()


def test_load_is_decode_and_one_antialiased_resize(file: Path) -> None:
    """A checkerboard of single pixels shrinks to mid grey: no pixel is skipped."""
    board = (np.indices((64, 64)).sum(axis=0) % 2 * 255).astype(np.uint8)
    loaded = load(write(file, encode(board, "PNG")), 16)
    assert np.abs(loaded.astype(int) - 127.5).max() <= 1.5


def test_a_jpeg_is_decoded_at_the_least_scale_that_keeps_one_and_a_half_times_the_size(
    file: Path,
) -> None:
    """libjpeg scales by 2, 4 and 8; both sides stay at least 1.5 times `at_least`, rounded down."""
    write(file, encode(soft(512)[:, :400], "JPEG"))
    sizes = {n: decode(file, at_least=n).shape[:2] for n in (1, 33, 34, 67, 68, 133, 134, 900)}
    assert sizes == {
        1: (64, 50),
        33: (64, 50),
        34: (128, 100),
        67: (128, 100),
        68: (256, 200),
        133: (256, 200),
        134: (512, 400),
        900: (512, 400),
    }


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0}])
def test_the_fast_path_is_close_to_the_full_decode(options: dict[str, Any], file: Path) -> None:
    """Reduced decode then resize differs from full decode then resize by 3 levels at most."""
    write(file, encode(soft(512), "JPEG", quality=90, **options))
    full = Image.fromarray(decode(file)).resize((32, 32), Image.Resampling.BILINEAR)
    off = np.abs(load(file, 32).astype(int) - np.asarray(full))
    assert off.max() <= 3
    assert off.mean() < 0.6


def test_a_grey_jpeg_is_reduced_and_a_cmyk_one_is_not(file: Path) -> None:
    """CMYK keeps its full size, so that its inks reach the profile untouched."""
    assert decode(write(file, encode(flat("L", 9, (256, 256)), "JPEG")), at_least=16).shape[0] == 32
    image = flat("CMYK", (9, 9, 9, 9), (256, 256))
    assert decode(write(file, encode(image, "JPEG")), at_least=16).shape[0] == 256


# Errors


def test_a_missing_file_is_named(file: Path) -> None:
    """The path is the first thing to check."""
    assert message(lambda: decode(file)) == f"{file}: does not exist. Check the path."
    assert looks_like_image(file)


def test_an_unreadable_file_says_why(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The system's reason, not a guess about the content. It counts as an image."""
    write(file, encode(noise(16), "PNG"))

    def deny(*_: object, **__: object) -> NoReturn:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", deny)
    assert message(lambda: decode(file)) == (
        f"{file}: cannot be read (Permission denied). Make it readable."
    )
    assert looks_like_image(file)


def test_a_failing_disk_is_not_blamed_on_the_content(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An I/O error in the middle of a sound file."""
    write(file, encode(noise(16), "PNG"))

    class FailingFile(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            if size == -1:
                raise OSError(5, "Input/output error")
            return super().read(size)

    monkeypatch.setattr(Path, "open", lambda *_, **__: FailingFile(encode(noise(16), "PNG")))
    assert message(lambda: decode(file)) == (
        f"{file}: cannot be read (Input/output error). Make it readable."
    )


def test_a_folder_and_a_pipe_are_told_apart_from_files(tmp_path: Path) -> None:
    """Neither is opened: a pipe would wait for ever."""
    assert message(lambda: decode(tmp_path)) == (
        f"{tmp_path}: is a folder, not an image. Give the path of one file."
    )
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    assert message(lambda: decode(pipe)) == (
        f"{pipe}: is a pipe or a device, not an image file. Replace or remove it."
    )


DROP = "Replace or remove it."


def test_a_truncated_file_says_so_in_one_line(file: Path) -> None:
    """The whole message, with Pillow's reason in brackets and as the cause."""
    write(file, encode(noise(64), "PNG")[:5000])
    with pytest.raises(ImageError) as caught:
        decode(file)
    assert str(caught.value) == (
        f"{file}: is a PNG file, truncated or damaged (image file is truncated). {DROP}"
    )
    assert isinstance(caught.value.__cause__, OSError)


@pytest.mark.parametrize("share", [0.05, 0.3, 0.6, 0.95])
@pytest.mark.parametrize(
    ("kind", "options"),
    [
        *[(kind, {}) for kind in FORMATS],
        ("JPEG", {"progressive": True}),
        ("TIFF", {"compression": "tiff_lzw"}),
    ],
)
def test_a_truncated_file_is_never_half_an_image(
    kind: str, options: dict[str, Any], share: float, file: Path
) -> None:
    """Wherever the copy broke off, and on the reduced path too."""
    whole = encode(noise(64), kind, **options)
    write(file, whole[: int(len(whole) * share)])
    start = f"{file}: is {named(kind)}, truncated or damaged ("
    assert message(lambda: decode(file)).startswith(start)
    assert message(lambda: load(file, 8)).endswith(f"). {DROP}")


@pytest.mark.parametrize("error", [EOFError(), struct.error("short\n  read")])
def test_whatever_pillow_raises_is_an_image_error(
    error: Exception, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In one line, by its text or, for want of one, by its name."""
    write(file, encode(noise(16), "PNG"))

    def fail(*_: object, **__: object) -> NoReturn:
        raise error

    monkeypatch.setattr("kvgg_jax.data.decode.image.open_header", fail)
    reason = "short read" if str(error) else type(error).__name__
    assert message(lambda: decode(file)) == (
        f"{file}: is a PNG file, truncated or damaged ({reason}). {DROP}"
    )


def test_want_of_memory_is_not_blamed_on_the_file(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be sound; it is named all the same, and the others go on."""
    write(file, encode(noise(16), "PNG"))

    def fail(*_: object, **__: object) -> NoReturn:
        raise MemoryError

    monkeypatch.setattr("kvgg_jax.data.decode.image.open_header", fail)
    assert message(lambda: decode(file)) == (
        f"{file}: needs more memory to decode than is available. Free some, or scale it down."
    )


def test_ctrl_c_goes_through(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An interrupt is not a bad image."""
    write(file, encode(noise(16), "PNG"))

    def interrupt(*_: object, **__: object) -> NoReturn:
        raise KeyboardInterrupt

    monkeypatch.setattr("kvgg_jax.data.decode.image.open_header", interrupt)
    with pytest.raises(KeyboardInterrupt):
        decode(file)


# Many at once, and anything at all


def test_threads_read_what_one_reader_reads(tmp_path: Path) -> None:
    """All formats at once, with one color profile shared, in a pool of 8."""
    paths = []
    for kind in FORMATS:
        extra = {} if kind in ("BMP", "GIF") else {"icc_profile": p3_profile()}
        paths.append(write(tmp_path / kind, encode(noise(64), kind, **extra)))
    color._transform.cache_clear()
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda path: load(path, 24), paths * 10))
    alone = [load(path, 24) for path in paths]
    for number, loaded in enumerate(together):
        assert (loaded == alone[number % len(paths)]).all()


def decode_bytes(content: bytes) -> None:
    """Either pixels or an ImageError; anything else fails the test."""
    with tempfile.TemporaryDirectory() as folder:
        path = write(Path(folder, "x"), content)
        text, pixels = f"{path}: ", np.empty((1, 1, 3), np.uint8)
        try:
            pixels = decode(path)
        except ImageError as error:
            text = str(error)
    assert text.startswith(f"{path}: ")
    assert "\n" not in text
    assert pixels.dtype == np.uint8
    assert pixels.ndim == 3
    assert pixels.shape[2] == 3


MAGIC = [
    b"",
    b"\xff\xd8\xff",
    b"\x89PNG\r\n\x1a\n",
    b"GIF89a",
    b"II*\0",
    b"MM\0*",
    b"RIFF\0\0\0\0WEBPVP8 ",
    b"\0\0\0\x1cftypavif\0\0\0\0mif1avif\0\0\0",
]


@given(st.sampled_from(MAGIC), st.binary(max_size=200))
@settings(max_examples=100, deadline=None)
def test_random_bytes_are_an_image_error(magic: bytes, rest: bytes) -> None:
    """No bytes bring down the reader, not even behind a true beginning."""
    decode_bytes(magic + rest)


EXIF = Image.Exif()
EXIF[0x0112] = 6
SOUND = [
    encode(noise(16), "PNG", exif=EXIF, icc_profile=p3_profile()),
    encode(palette_image(), "PNG", transparency=1),
    encode(noise(16), "JPEG", exif=EXIF, icc_profile=p3_profile()),
    encode(flat("CMYK", (1, 2, 3, 4)), "JPEG", icc_profile=grey_paper_profile()),
    encode(noise(16), "AVIF", exif=EXIF, icc_profile=p3_profile()),
]


@given(
    st.sampled_from(SOUND),
    st.lists(
        st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=8
    ),
)
@settings(max_examples=100, deadline=None)
def test_a_mutated_image_is_pixels_or_an_image_error(
    sound: bytes, changes: list[tuple[float, int]]
) -> None:
    """A few wrong bytes anywhere: header, profile, EXIF, pixels."""
    content = bytearray(sound)
    for place, value in changes:
        content[int(place * len(content))] = value
    decode_bytes(bytes(content))


@pytest.mark.parametrize(
    "name",
    [
        name
        for name, kind in KINDS.items()
        if isinstance(kind.make, bytes) and name != "within the limit.png"  # which takes seconds
    ],
)
def test_content_in_memory_is_read_as_a_file_is(name: str, file: Path) -> None:
    """The same pixels, or the same words under the name it was sent by."""
    content = KINDS[name].make
    assert isinstance(content, bytes)
    file.write_bytes(content)
    if KINDS[name].error:
        with pytest.raises(ImageError) as in_file:
            load(file, 16)
        with pytest.raises(ImageError) as in_memory:
            load_bytes(content, 16, name="sent.jpg")
        assert str(in_memory.value) == str(in_file.value).replace(str(file), "sent.jpg")
    else:
        expected = load(file, 16)
        np.testing.assert_array_equal(load_bytes(content, 16, name="sent.jpg"), expected)
