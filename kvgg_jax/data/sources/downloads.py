"""Files from elsewhere, kept on this machine up to a number of bytes; the longest unused go first.

Several processes may share the folder. Nothing in it is needed: a file that is damaged or removed
is downloaded again, and where nothing can be written, nothing is kept.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

from kvgg_jax.core.files import TEMPORARY

LIMIT = 32 * 2**30
"""Bytes, or a quarter of the disk where that is less. A run reads each photo once, since decoded
photos are kept apart (`data.cache`); this is for the runs after it."""
STEPS = 16  # how often room is made while so many bytes come; a process may exceed them by one step
DIGEST = hashlib.sha256().digest_size


class Downloads:
    """A folder of downloads by name."""

    def __init__(self, folder: Path, limit: int = LIMIT) -> None:
        self._folder, self._limit = folder, limit
        self._unseen = limit  # bytes since room was made; other processes may have written some
        self._lock = threading.Lock()

    def get(self, name: str, download: Callable[[], bytes]) -> bytes:
        """The file `name`, from the folder or else by `download`, which may raise."""
        if (kept := self._read(name)) is not None:
            return kept
        content = download()
        with contextlib.suppress(OSError):  # such as a full disk: the training goes on
            self._keep(name, content)
        return content

    def _read(self, name: str) -> bytes | None:
        file = self._folder / name
        try:
            content = file.read_bytes()
            os.utime(file)  # used just now
        except OSError:
            return None
        digest, content = content[:DIGEST], content[DIGEST:]
        return content if hashlib.sha256(content).digest() == digest else None

    def _keep(self, name: str, content: bytes) -> None:
        """Not flushed to the disk, which takes longer than the download: the digest tells."""
        self._folder.mkdir(parents=True, exist_ok=True)
        temporary = self._folder / TEMPORARY.format(secrets.token_hex(4))
        try:
            temporary.write_bytes(hashlib.sha256(content).digest() + content)
            temporary.replace(self._folder / name)
        except OSError:
            temporary.unlink(missing_ok=True)
            raise
        with self._lock:
            self._unseen += len(content)
            if self._unseen > self._limit / STEPS:
                self._unseen = 0
                self._make_room()

    def _make_room(self) -> None:
        files = []
        with os.scandir(self._folder) as entries:
            for entry in entries:
                with contextlib.suppress(OSError):  # another process makes room too
                    status = entry.stat()
                    files.append((status.st_mtime_ns, status.st_size, entry.path))
        total, free = sum(size for _, size, _ in files), shutil.disk_usage(self._folder).free
        limit = min(self._limit, (total + free) // 4)
        for _, size, path in sorted(files):
            if total <= limit - limit / STEPS:
                break
            with contextlib.suppress(OSError):
                os.unlink(path)  # noqa: PTH108
            total -= size
