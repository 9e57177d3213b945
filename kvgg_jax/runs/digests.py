"""A folder that can tell whether it is whole: `SHA256SUMS` beside what it lists.

`sha256sum -c SHA256SUMS`, run in the folder, checks the same.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from kvgg_jax.core.files import flush, open_file, read_text

SUMS = "SHA256SUMS"


def seal(folder: Path) -> None:
    """List every file below `folder` with its SHA-256, and flush all of it to the disk.

    Once it has returned, neither a crash nor a loss of power can change what it listed.
    """
    (folder / SUMS).write_text(_list(folder))
    for below, _, names in os.walk(folder, topdown=False):
        for name in names:
            flush(Path(below, name))
        flush(Path(below))


def identity(folder: Path) -> str:
    """SHA-256, in hexadecimal, of all that is in a folder; at once where `seal` has listed it.

    Raises FileNotFoundError when it is not there.
    """
    folder.stat()
    text = read_text(folder / SUMS) if is_sealed(folder) else _list(folder)
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()


def _list(folder: Path) -> str:
    return "".join(f"{_digest(file)}  {name}\n" for name, file in _files(folder))


def is_sealed(folder: Path) -> bool:
    """Whether `seal` has listed the folder's files."""
    return os.path.isfile(folder / SUMS)


def fault(folder: Path, *, sealed: bool = True) -> str | None:
    """What is wrong with the first file that is not as `seal` saw it; None when all are.

    Of a folder that is not `sealed` only this is known: that it holds files, and no pipes.
    """
    try:
        for name, file in _files(folder):
            if not os.path.isfile(file):
                return f"{name} is not a regular file"
    except OSError as error:  # gone while it was looked through, or not to be looked into
        return f"{folder.name} cannot be read: {error.strerror}"
    return _change(folder) if sealed else None


def _change(folder: Path) -> str | None:
    name = SUMS
    try:
        text = read_text(folder / SUMS)
        listed = {name: digest for digest, _, name in map(_entry, text.split("\n")[:-1])}
        found = dict(_files(folder))
        for name in sorted(listed.keys() | found.keys()):
            if name not in found:
                return f"{name} is missing"
            if name not in listed:
                return f"{name} is not listed in {SUMS}"
            if _digest(found[name]) != listed[name]:
                return f"{name} has changed since it was written"
    except OSError as error:
        return f"{name} cannot be read: {error.strerror}"
    return None


def _entry(line: str) -> tuple[str, str, str]:
    return line.partition("  ")


def _files(folder: Path) -> Iterator[tuple[str, Path]]:
    """Every file below `folder` but the list itself, by name relative to it, sorted."""
    for file in sorted(folder.rglob("*")):
        name = file.relative_to(folder).as_posix()
        if name != SUMS and not file.is_dir():
            yield name, file


def _digest(file: Path) -> str:
    with open_file(file) as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
