"""Frames of videos as photos."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from kvgg_jax.core.errors import ImageError, MissingExtra
from kvgg_jax.core.extras import EXTRAS
from kvgg_jax.data.decode.image import decode_bytes
from kvgg_jax.data.decode.video import frames, is_frame, is_video, read_frame, upright

COLORS = ((200, 30, 30), (30, 200, 30), (30, 30, 200))


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """Three seconds of four pictures each: red, green, blue. One in five can be sought."""
    av = pytest.importorskip("av", reason='needs pip install "kvgg_jax[video]"')
    file = tmp_path / "clip.mp4"
    with av.open(str(file), "w") as container:
        stream = container.add_stream("mpeg4", rate=4, options={"g": "5"})
        stream.width, stream.height, stream.pix_fmt = 32, 16, "yuv420p"
        for color in COLORS:
            pixels = np.full((16, 32, 3), color, np.uint8)
            for _ in range(4):
                frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
                container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return file


def color_at(name: Path) -> tuple[int, ...]:
    """Of the middle of a frame."""
    pixels = decode_bytes(read_frame(name), name=name)
    assert pixels.shape == (16, 32, 3)
    return tuple(int(value) for value in pixels[8, 16])


@pytest.mark.extras
def test_a_video_has_a_frame_for_so_many_seconds(clip: Path) -> None:
    """Their names say which file and when; each is what is shown then."""
    assert frames(clip, 1) == [Path(f"{clip}#t={second}") for second in (0, 1, 2)]
    assert frames(clip, 0.75) == [Path(f"{clip}#t={second}") for second in (0, 0.75, 1.5, 2.25)]
    assert frames(clip, 60) == [Path(f"{clip}#t=0")]
    found = [color_at(name) for name in frames(clip, 0.5)]
    expected = [color for color in COLORS for _ in range(2)]
    assert np.abs(np.subtract(found, expected)).max() < 12  # JPEG-like losses


@pytest.mark.extras
def test_what_is_no_video_has_one_frame_that_says_why(tmp_path: Path) -> None:
    """As a photo that cannot be read, it does not end the others."""
    pytest.importorskip("av", reason='needs pip install "kvgg_jax[video]"')
    bad, gone = tmp_path / "bad.mp4", tmp_path / "gone.mp4"
    bad.write_bytes(b"no video" * 10)
    for file, reason in (
        (bad, "Invalid data found when processing input"),
        (gone, "No such file or directory"),
    ):
        (name,) = frames(file, 1)
        with pytest.raises(ImageError) as caught:
            read_frame(name)
        assert str(caught.value) == f"{file}: cannot be read as a video ({reason})."


def test_a_picture_is_turned_as_the_phone_was(tmp_path: Path) -> None:
    """The container gives degrees to the left, also below zero."""
    pixels = np.arange(6, dtype=np.uint8).reshape(1, 2, 3)
    for degrees, turns in ((0, 0), (90, 1), (-90, 3), (180, 2), (-180, 2)):
        assert np.array_equal(upright(pixels, degrees), np.rot90(pixels, turns))


def test_a_video_is_known_by_its_name() -> None:
    """And a frame by the second in it."""
    assert [is_video(Path(name)) for name in ("a.MP4", "b.webm", "c.jpg", "mp4")] == [
        True,
        True,
        False,
        False,
    ]
    names = ("a.mp4#t=2.5", "a.MOV#t=0", "a.jpg#t=1", "a.mp4", "a.mp4#t=x")
    assert [is_frame(Path(name)) for name in names] == [True, True, False, False, False]


def test_without_its_extra_a_video_is_answered_with_the_command_that_adds_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(EXTRAS, "video", ("pip-of-no-kind",))
    with pytest.raises(MissingExtra) as caught:
        frames(Path("clip.mp4"), 1)
    assert str(caught.value) == (
        "A video needs pip-of-no-kind, which is not installed. Add it: "
        'pip install "kvgg_jax[video]"'
    )
