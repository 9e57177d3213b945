"""The files in a folder of shards, here or at an address, where a web server may list nothing."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from kvgg_jax.core.errors import DataError, ImageError
from kvgg_jax.core.files import digest, read_text
from kvgg_jax.core.places import Place, Url
from kvgg_jax.core.text import escape_name
from kvgg_jax.data.sources.remote import download, downloads, exists, fetch, size_of

AGAIN = "Copy it again, or pack the photos again."
OTHER = "other bytes than were packed"


def damaged(file: Place, reason: object) -> DataError:
    """What to say of a file that is not as it was packed."""
    reason = reason.strerror if isinstance(reason, OSError) else reason
    return DataError(f"{escape_name(file)} is missing or damaged ({reason}). {AGAIN}")


def has(folder: Place, name: str) -> bool:
    """Whether there is such a file. Raises DataError where nothing answers."""
    if isinstance(folder, Url):
        return exists(folder, name)
    return os.path.exists(folder / name)


def text_of(file: Place) -> str:
    """That of a small file. Raises OSError, and DataError where nothing answers."""
    return fetch(file).decode() if isinstance(file, Url) else read_text(file)


def bytes_of(file: Place) -> int | None:
    """How many; None where a web server does not say. Raises OSError, DataError."""
    if isinstance(file, Path):
        return file.stat().st_size
    try:
        return size_of(file)
    except ImageError:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT)) from None


def whole(file: Place, sha256: str) -> Path:
    """The file on this machine; from an address, a copy that is kept. Raises DataError unless it
    has this digest."""
    if isinstance(file, Url):
        return _copy(file, sha256)
    try:
        if digest(file) == sha256:
            return file
    except OSError as error:
        raise damaged(file, error) from None
    raise damaged(file, OTHER)


def _copy(url: Url, sha256: str) -> Path:
    kept = downloads()
    try:
        return kept.file(sha256, lambda temporary: download(url, temporary))
    except ImageError:
        raise damaged(url, os.strerror(errno.ENOENT)) from None
    except ValueError:
        raise damaged(url, OTHER) from None
    except OSError as error:
        raise DataError(
            f"Cannot keep {escape_name(url)} in {escape_name(kept.folder)}: {error.strerror}. "
            "Make room there, or name another folder: XDG_CACHE_HOME."
        ) from None
