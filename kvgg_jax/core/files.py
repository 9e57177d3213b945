"""Small files of a run: never a pipe or a device, and replaced in one move."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
import time
from io import BufferedReader
from pathlib import Path

OLD = 86_400  # seconds; a scratch folder unchanged for so long belongs to no live process


def open_file(path: Path) -> BufferedReader:
    """Open `path` to read it. Raises OSError unless it is a regular file: a pipe would block, and a
    device may have no end."""
    return os.fdopen(_regular(path, os.O_RDONLY), "rb")


def _regular(path: Path, flags: int) -> int:
    handle = os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC, 0o666)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise OSError(errno.EINVAL, "Not a regular file", str(path))
    return handle


def read_text(path: Path) -> str:
    """The UTF-8 text of a file with its own line ends; other bytes become surrogates."""
    with open_file(path) as file:
        return file.read().decode(errors="surrogateescape")


def write_text(path: Path, text: str) -> None:
    """The inverse of `read_text`, as `write_bytes`."""
    write_bytes(path, text.encode(errors="surrogateescape"))


def write_bytes(path: Path, content: bytes) -> None:
    """Replace a file: a reader sees the old content or the new, never a part.

    Raises OSError where it cannot, or where the temporary name is taken by a link or no file.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
    with os.fdopen(_regular(temporary, flags), "wb") as file:
        try:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
            temporary.replace(path)
        except OSError:
            temporary.unlink()
            raise
    flush(path.parent)  # or a loss of power could take the new name back


def flush(path: Path) -> None:
    """Make the system write one file, or the names in a folder, to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sweep(folder: Path, pattern: str) -> None:
    """Remove the folders in `folder` that a killed process left: those unchanged for a day."""
    for left in folder.glob(pattern):
        with contextlib.suppress(OSError):  # another process sweeps too
            written = max(path.stat().st_mtime for path in (left, *left.rglob("*")))
            if left.is_dir() and time.time() - written > OLD:
                shutil.rmtree(left)
