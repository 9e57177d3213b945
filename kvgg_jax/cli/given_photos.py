"""The photos that a command is given: files, folders, patterns, and a list on stdin; for `predict`
also addresses and the frames of videos."""

from __future__ import annotations

import glob
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from kvgg_jax.core.errors import DataError, UsageError
from kvgg_jax.core.places import Place, Url, place
from kvgg_jax.core.text import escape_name
from kvgg_jax.data.decode import video
from kvgg_jax.data.decode.image import read_file
from kvgg_jax.data.decode.limits import MAX_BYTES
from kvgg_jax.data.sources.address import open_system
from kvgg_jax.data.sources.remote import fetch

STDIN = "-"


def given_photos(words: Iterable[Path]) -> list[Path]:
    """Files and folders as they are; for `-`, the lines of stdin; for a pattern such as
    `"photos/**/*.jpg"`, the files that match it, sorted.

    Raises DataError for a pattern that nothing matches.
    """
    return [path for word in words for path in _photos(str(word))]


def given_places(words: Iterable[Path], *, allow_net: bool, every: float) -> list[Place]:
    """As `given_photos`, with addresses as such, and for a video its frames, one for `every`
    seconds.

    Raises UsageError for an address without `allow_net`, ConfigError for one that holds a password,
    and MissingExtra where a library is missing.
    """
    return [found for path in given_photos(words) for found in _places(path, allow_net, every)]


def _places(path: Path, allow_net: bool, every: float) -> Sequence[Place]:
    where = place(path)
    if isinstance(where, Url):
        if not allow_net:
            raise UsageError(
                f"{escape_name(where)} is an address: --allow-net lets predict read it."
            )
        open_system(where)  # its library may be missing, which is better known now
        return [where]
    return video.frames(where, every) if video.is_video(where) else [where]


def read_place(where: Place) -> bytes:
    """The content of a photo that `given_places` gave. Raises ImageError where it is none, and
    DataError where nothing answers."""
    if isinstance(where, Url):
        return fetch(where, at_most=MAX_BYTES)
    return video.read_frame(where) if video.is_frame(where) else read_file(where)


def _photos(word: str) -> Iterator[Path]:
    if word == STDIN:
        lines = (line.rstrip("\r\n") for line in sys.stdin)
        yield from (Path(line) for line in lines if line)
    elif os.path.lexists(word) or not glob.has_magic(word):
        yield Path(word)
    elif found := sorted(glob.glob(word, recursive=True)):  # noqa: PTH207  # of any root
        yield from map(Path, found)
    else:
        raise DataError(f"{escape_name(word)} matches no file. Check the pattern.")
