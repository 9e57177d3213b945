"""The header of a file, what is odd about it, and the look of its pixels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kvgg_jax.data.audit import inspect
from kvgg_jax.data.audit.inspect import Header, inspect_photos, read_header, typical_side
from kvgg_jax.data.decode.image import load
from kvgg_jax.data.samples import Samples
from kvgg_jax.data.sources.folder import Folder, scan
from support.runs import draw_photos


def header(path: Path) -> Header:
    return read_header(path.read_bytes(), path)


@pytest.mark.parametrize(
    ("name", "mode", "size", "options", "expected"),
    [
        ("a.PNG", "RGB", (40, 32), {}, Header("PNG", "RGB", "40 x 32")),
        ("a.jpeg", "L", (32, 32), {}, Header("JPEG", "L", "32 x 32")),
        ("a.tif", "CMYK", (95, 32), {}, Header("TIFF", "CMYK", "95 x 32")),
        (
            "a.jpg",
            "P",
            (32, 32),
            {"format": "PNG"},
            Header("PNG", "P", "32 x 32", ("is a PNG file with another suffix",)),
        ),
        (
            "a.gif",
            "RGB",
            (32, 32),
            {"save_all": True, "append_images": [Image.new("RGB", (32, 32), "red")]},
            Header("GIF", "P", "32 x 32", ("has several frames; only the first is used",)),
        ),
        (
            "a.bmp",
            "RGB",
            (32, 96),
            {},
            Header("BMP", "RGB", "32 x 96", ("has 32 x 96 pixels and is resized to a square",)),
        ),
        (
            "a.webp",
            "RGB",
            (31, 40),
            {},
            Header(
                "WEBP",
                "RGB",
                "31 x 40",
                ("has 31 x 40 pixels, fewer than any network here accepts",),
            ),
        ),
    ],
)
def test_a_header_tells_format_mode_size_and_what_is_odd(
    tmp_path: Path, name: str, mode: str, size: tuple[int, int], options: dict, expected: Header
) -> None:
    """By content; the suffix is only compared with it."""
    Image.new(mode, size).save(tmp_path / name, **options)
    assert header(tmp_path / name) == expected


def test_a_photo_of_a_phone_that_brings_a_second_image_is_a_jpeg(tmp_path: Path) -> None:
    """Pillow calls it MPO; nothing is odd about it."""
    small = Image.new("RGB", (32, 32), "red")
    first = Image.new("RGB", (64, 48))
    first.save(tmp_path / "a.jpg", format="MPO", save_all=True, append_images=[small])
    assert header(tmp_path / "a.jpg") == Header("JPEG", "RGB", "64 x 48")


def test_a_second_frame_that_is_damaged_is_a_second_frame(tmp_path: Path) -> None:
    """The first frame is sound, so the file is trained on, and must be evaluated and checked."""
    file = tmp_path / "a.gif"
    frames = [Image.new("RGB", (40, 40), color) for color in ("red", "blue")]
    frames[0].save(file, save_all=True, append_images=frames[1:])
    whole = file.read_bytes()
    for size in range(len(whole) // 2 + 12, len(whole)):
        file.write_bytes(whole[:size])
        assert load(file, 32).shape == (32, 32, 3)
        assert header(file).odd == ("has several frames; only the first is used",)


def test_the_six_numbers_are_mean_and_spread_of_each_channel(tmp_path: Path) -> None:
    """In [0, 1]: an image half red, half black has a red of one half, spread one half."""
    pixels = np.zeros((64, 64, 3), np.uint8)
    pixels[:32, :, 0] = 255
    Image.fromarray(pixels).save(tmp_path / "x.png")
    (seen,) = inspect_photos(Samples(Folder(tmp_path), ("x.png",), (0,), ("a",)))
    assert seen.look is not None
    assert seen.look.color.tolist() == [0.5, 0.0, 0.0, 0.5, 0.0, 0.0]


def test_photos_of_any_source_are_inspected_and_a_bad_one_is_named(tmp_path: Path) -> None:
    """By what `read` gives, not by opening a path; several sources come one after the other."""
    Image.new("RGB", (40, 32), "red").save(tmp_path / "red.png")
    content = {"a": (tmp_path / "red.png").read_bytes(), "b": b"no image"}

    class InMemory(Folder):
        def read(self, key: str) -> bytes:
            return content[key]

    first = Samples(InMemory(Path("elsewhere")), ("a", "b"), (0, 0), ("x",))
    red, bad, again = inspect_photos(first, Samples(Folder(tmp_path), ("red.png",), (0,), ("x",)))
    assert (red.path, again.path) == (Path("elsewhere/a"), tmp_path / "red.png")
    assert red.look is not None
    assert again.look is not None
    assert red.look.digest == again.look.digest
    assert red.header == Header("PNG", "RGB", "40 x 32")
    assert str(bad.error) == "elsewhere/b: is text, not an image. Replace or remove it."


@pytest.mark.parametrize("error", [ValueError, EOFError, OSError])
def test_a_header_that_cannot_be_read_does_not_tell_how_large_photos_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    """Whatever Pillow raises: the photo is named when it is decoded."""
    photos = scan(draw_photos(tmp_path / "photos", per_class=2))
    assert typical_side(photos) == 32

    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(inspect, "open_header", fail)
    assert typical_side(photos) == 0
