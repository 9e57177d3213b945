"""Frames of a video as photos: `clip.mp4#t=2.5` is the one that is shown after 2.5 seconds."""

from __future__ import annotations

import contextlib
import io
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from kvgg_jax.core.errors import ImageError
from kvgg_jax.core.extras import require
from kvgg_jax.core.text import escape_name
from kvgg_jax.data.decode.limits import MAX_PIXELS

SUFFIXES = (".avi", ".m4v", ".mkv", ".mov", ".mp4", ".webm")
MICROSECONDS = 1_000_000  # in which a container gives times
_FRAME = re.compile(rf"(.+(?:{'|'.join(map(re.escape, SUFFIXES))}))#t=(\d+(?:\.\d+)?)", re.I)


def is_video(path: Path) -> bool:
    """Whether the name is that of a video."""
    return path.suffix.lower() in SUFFIXES


def is_frame(path: Path) -> bool:
    """Whether the name is that of a frame, as `frames` gives it."""
    return _FRAME.fullmatch(str(path)) is not None


def frames(video: Path, every: float) -> list[Path]:
    """The names of its frames, one for so many seconds from the start on.

    Of what is no video it is one, of which `read_frame` says why. Raises MissingExtra without the
    library.
    """
    require("video", by="A video")
    seconds = 0.0
    with contextlib.suppress(ImageError), _opened(video) as (container, stream):
        if container.duration is not None:
            seconds = container.duration / MICROSECONDS
        elif stream.duration is not None:
            seconds = float(stream.duration * stream.time_base)
    count = max(math.ceil(seconds / every - 1e-6), 1)
    return [Path(f"{video}#t={number * every:.6g}") for number in range(count)]


def read_frame(name: Path) -> bytes:
    """The frame of that name, upright, as the content of a BMP file. Raises ImageError."""
    found = _FRAME.fullmatch(str(name))
    assert found is not None, name
    second = float(found[2])
    with _opened(Path(found[1])) as (container, stream):
        if stream.width * stream.height > MAX_PIXELS:
            raise ImageError(f"{escape_name(name)}: has more than {MAX_PIXELS:,} pixels a frame.")
        start = stream.start_time or 0
        container.seek(start + int(second / stream.time_base), stream=stream)
        frame = None
        for frame in container.decode(stream):
            if frame.time is None or frame.time - float(start * stream.time_base) >= second - 1e-3:
                break
        if frame is None:
            raise ImageError(f"{escape_name(name)}: the video has no frame there.")
        pixels = upright(frame.to_ndarray(format="rgb24"), frame.rotation)
    Image.fromarray(pixels).save(content := io.BytesIO(), "BMP")
    return content.getvalue()


def upright(pixels: np.ndarray, degrees: int) -> np.ndarray:
    """`pixels` [height, width, 3], turned to the left by as many degrees as the container says.

    A phone stores what it sees, and how it was held beside it.
    """
    return np.rot90(pixels, round(degrees / 90) % 4)


@contextlib.contextmanager
def _opened(video: Path) -> Iterator[tuple[Any, Any]]:
    """A video and its stream of pictures. Raises ImageError where it cannot be read."""
    import av

    try:
        with av.open(str(video)) as container:
            if not container.streams.video:
                raise ImageError(f"{escape_name(video)}: has no pictures.")
            yield container, container.streams.video[0]
    except (av.FFmpegError, OSError) as error:
        reason = error.strerror or error
        raise ImageError(f"{escape_name(video)}: cannot be read as a video ({reason}).") from None
