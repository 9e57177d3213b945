"""The photos that a command is given: files, folders, patterns, and a list on stdin."""

from __future__ import annotations

import glob
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from kvgg_jax.core.errors import DataError
from kvgg_jax.core.text import escape_name

STDIN = "-"


def given_photos(words: Iterable[Path]) -> list[Path]:
    """Files and folders as they are; for `-`, the lines of stdin; for a pattern such as
    `"photos/**/*.jpg"`, the files that match it, sorted.

    Raises DataError for a pattern that nothing matches.
    """
    return [path for word in words for path in _photos(str(word))]


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
