"""Files from elsewhere, kept on this machine up to a number of bytes; the longest unused go first.

Several processes may share the folder. Nothing in it is needed: a file that is damaged or removed
is downloaded again.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from kvgg_jax.core.files import TEMPORARY, digest

LIMIT = 32 * 2**30
"""Bytes, or a quarter of the disk where that is less. A run reads each photo once, since decoded
photos are kept apart (`data.cache`); this is for the runs after it, and for shards."""
STEPS = 16  # how often room is made while so many bytes come; a process may exceed them by one step
DIGEST = hashlib.sha256().digest_size


class Downloads:
    """A folder of downloads by name."""

    def __init__(self, folder: Path, limit: int = LIMIT) -> None:
        self.folder, self._limit = folder, limit
        self._unseen = limit  # bytes since room was made; other processes may have written some
        self._lock = threading.Lock()
        self._whole: set[str] = set()  # names of files whose digest was right
        self._of_file: dict[str, threading.Lock] = {}

    @property
    def room(self) -> int:
        """Bytes that can be kept at once."""
        return self._room(sum(size for _, size, _ in self._files()))

    def get(self, name: str, download: Callable[[], bytes]) -> bytes:
        """The file `name`, from the folder or else by `download`, which may raise.

        Where nothing can be written, nothing is kept.
        """
        if (kept := self._read(name)) is not None:
            return kept
        content = download()
        with contextlib.suppress(OSError):  # such as a full disk: the training goes on
            self._keep(name, content)
        return content

    def find(self, sha256: str) -> Path | None:
        """The file with this digest where it is kept, or comes just now; so it was used."""
        with self._of_file.setdefault(sha256, threading.Lock()):
            return self._find(sha256)

    def file(self, sha256: str, download: Callable[[Path], None]) -> Path:
        """The file with this digest, from the folder or else as `download` writes it, once for all
        threads.

        Raises ValueError where it writes another one, OSError where nothing can be written.
        """
        with self._of_file.setdefault(sha256, threading.Lock()):
            if found := self._find(sha256):
                return found
            with self._temporary() as temporary:
                download(temporary)
                if digest(temporary) != sha256:
                    raise ValueError(f"the digest is not {sha256}")
                size = temporary.stat().st_size
                file = temporary.replace(self.folder / sha256)
            self._whole.add(sha256)
            self._count(size)
            return file

    def _find(self, sha256: str) -> Path | None:
        file = self.folder / sha256
        try:
            if sha256 not in self._whole and digest(file) != sha256:
                return None
            os.utime(file)
        except OSError:
            return None
        self._whole.add(sha256)
        return file

    def _read(self, name: str) -> bytes | None:
        file = self.folder / name
        try:
            content = file.read_bytes()
            os.utime(file)  # used just now
        except OSError:
            return None
        digest, content = content[:DIGEST], content[DIGEST:]
        return content if hashlib.sha256(content).digest() == digest else None

    def _keep(self, name: str, content: bytes) -> None:
        """Not flushed to the disk, which takes longer than the download: the digest tells."""
        with self._temporary() as temporary:
            temporary.write_bytes(hashlib.sha256(content).digest() + content)
            temporary.replace(self.folder / name)
        self._count(len(content))

    @contextlib.contextmanager
    def _temporary(self) -> Iterator[Path]:
        """A name in the folder for a file that is not whole yet."""
        self.folder.mkdir(parents=True, exist_ok=True)
        temporary = self.folder / TEMPORARY.format(secrets.token_hex(4))
        try:
            yield temporary
        finally:
            temporary.unlink(missing_ok=True)

    def _count(self, size: int) -> None:
        """So many bytes more are kept."""
        with self._lock:
            self._unseen += size
            if self._unseen > self._limit / STEPS:
                self._unseen = 0
                self._make_room()

    def _make_room(self) -> None:
        files = sorted(self._files())
        total = sum(size for _, size, _ in files)
        room = self._room(total)
        for _, size, path in files:
            if total <= room:
                break
            with contextlib.suppress(OSError):
                os.unlink(path)  # noqa: PTH108
            total -= size

    def _files(self) -> Iterator[tuple[int, int, str]]:
        """When each was used last, its bytes, its path."""
        with contextlib.suppress(OSError), os.scandir(self.folder) as entries:
            for entry in entries:
                with contextlib.suppress(OSError):  # another process makes room too
                    status = entry.stat()
                    yield status.st_mtime_ns, status.st_size, entry.path

    def _room(self, kept: int) -> int:
        """Bytes to keep, where so many are kept already."""
        existing = next(path for path in (self.folder, *self.folder.parents) if path.exists())
        limit = min(self._limit, (kept + shutil.disk_usage(existing).free) // 4)
        return limit - limit // STEPS
