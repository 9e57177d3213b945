"""Small files of a run: never a pipe or a device, and replaced in one move."""

from __future__ import annotations

import contextlib
import csv
import errno
import hashlib
import io
import os
import secrets
import shutil
import stat
import time
from collections.abc import Iterable, Iterator, Sequence
from io import BufferedReader
from itertools import islice
from pathlib import Path
from typing import TextIO

OLD = 86_400  # seconds; what is unchanged for so long belongs to no live process
TEMPORARY = ".kvgg-{}.tmp"
ROWS = 4096  # of a CSV file in one text


def open_file(path: Path) -> BufferedReader:
    """Open `path` to read it. Raises OSError unless it is a regular file: a pipe would block, and a
    device may have no end."""
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise OSError(errno.EINVAL, "Not a regular file", str(path))
    return os.fdopen(handle, "rb")


def read_text(path: Path) -> str:
    """The UTF-8 text of a file with its own line ends; other bytes become surrogates."""
    with open_file(path) as file:
        return file.read().decode(errors="surrogateescape")


@contextlib.contextmanager
def open_lines(path: Path) -> Iterator[TextIO]:
    """The lines of the text that `read_text` gives, each with its end, as they are needed."""
    with io.TextIOWrapper(open_file(path), "utf-8", "surrogateescape", newline="\n") as lines:
        yield lines


def csv_texts(rows: Iterable[Sequence[object]], quoting: int) -> Iterator[str]:
    """The text of a CSV file, some rows at a time: those of a million photos take no memory."""
    left = iter(rows)
    while some := list(islice(left, ROWS)):
        out = io.StringIO()
        csv.writer(out, lineterminator="\n", quoting=quoting).writerows(some)  # type: ignore[arg-type]
        yield out.getvalue()


def write_text(path: Path, text: str | Iterable[str]) -> None:
    """The inverse of `read_text`, as `write_bytes`."""
    texts = [text] if isinstance(text, str) else text
    write_bytes(path, (one.encode(errors="surrogateescape") for one in texts))


def write_bytes(path: Path, content: bytes | Iterable[bytes]) -> None:
    """Replace a file: a reader sees the old content or the new, never a part.

    Each write has a temporary name of its own, so of several writers at once the last one counts.
    What a killed writer left in the folder is removed a day later. Raises OSError.
    """
    temporary = path.with_name(TEMPORARY.format(secrets.token_hex(4)))
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    try:
        with os.fdopen(handle, "wb") as file:
            file.writelines([content] if isinstance(content, bytes) else content)
            file.flush()
            os.fsync(handle)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    flush(path.parent)  # or a loss of power could take the new name back
    sweep(path.parent, TEMPORARY.format("?" * 8))


def digest(file: Path) -> str:
    """SHA-256 of a file, in hexadecimal. Raises OSError."""
    with open_file(file) as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def flush(path: Path) -> None:
    """Make the system write one file, or the names in a folder, to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sweep(folder: Path, pattern: str) -> None:
    """Remove the files and folders in `folder` that a killed process left: unchanged for a day."""
    for left in folder.glob(pattern):
        with contextlib.suppress(OSError):  # another process sweeps too
            written = max(path.lstat().st_mtime for path in (left, *left.rglob("*")))
            if time.time() - written <= OLD:
                continue
            if left.is_dir() and not left.is_symlink():
                shutil.rmtree(left)
            else:
                left.unlink()
