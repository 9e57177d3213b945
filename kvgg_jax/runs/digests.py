"""A folder that can tell whether it is whole: `SHA256SUMS` beside what it lists.

`sha256sum -c SHA256SUMS`, run in the folder, checks the same.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from kvgg_jax.core.files import digest, flush, read_text

SUMS = "SHA256SUMS"


def seal(folder: Path) -> None:
    """List every file below `folder` with its SHA-256, and flush all of it to the disk.

    Once it has returned, neither a crash nor a loss of power can change what it listed.
    """
    lines = [f"{digest(file)}  {name}\n" for name, file in _files(folder)]
    (folder / SUMS).write_text("".join(lines))
    for below, _, names in os.walk(folder, topdown=False):
        for name in names:
            flush(Path(below, name))
        flush(Path(below))


def identity(folder: Path) -> str:
    """SHA-256, in hexadecimal, of what `seal` has listed. Raises OSError when there is no list."""
    text = read_text(folder / SUMS)
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()


def fault(folder: Path) -> str | None:
    """What is wrong with the first file that is not as `seal` saw it; None when all are."""
    name = SUMS
    try:
        entries = (line.partition("  ") for line in read_text(folder / SUMS).split("\n")[:-1])
        listed = {name: digest for digest, _, name in entries}
        name = folder.name  # which may go while it is looked through
        found = dict(_files(folder))
        for name in sorted(listed.keys() | found.keys()):
            if name not in found:
                return f"{name} is missing"
            if name not in listed:
                return f"{name} is not listed in {SUMS}"
            if digest(found[name]) != listed[name]:
                return f"{name} has changed since it was written"
    except OSError as error:
        return f"{name} cannot be read: {error.strerror}"
    return None


def _files(folder: Path) -> Iterator[tuple[str, Path]]:
    """Every file below `folder` but the list itself, by name relative to it, sorted."""
    for file in sorted(folder.rglob("*")):
        name = file.relative_to(folder).as_posix()
        if name != SUMS and not file.is_dir():
            yield name, file
