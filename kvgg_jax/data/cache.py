"""Where decoded images are stored: in memory, in a file, or nowhere.

All three are used as an array is: `images[row] = image` once for each, then `images[rows]`.
"""

from __future__ import annotations

import hashlib
import math
import os
import shutil
import tempfile
import weakref
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from kvgg_jax.core.errors import DataError, ImageError
from kvgg_jax.core.tables.data import Resize
from kvgg_jax.data.samples import Samples
from kvgg_jax.data.source import threads_for

Kind = Literal["memory", "disk", "none"]
Pixels = NDArray[np.uint8]
Rows = NDArray[np.int64]
Images: TypeAlias = "NDArray[Any] | OnDisk | Undecoded | Chosen"
"""uint8 [count, size, size, 3], or float32 features [count, ...], read by rows."""

ALIGNMENT = 64  # bytes, of the addresses that TensorFlow computes with; at others it aborts
MEMINFO = Path("/proc/meminfo")
CGROUP = Path("/sys/fs/cgroup")  # version 2; in a container, its own


def in_memory(shape: tuple[int, ...]) -> Pixels:
    """An array to be filled, where TensorFlow can read it without a copy."""
    count = math.prod(shape)
    whole = np.empty(count + ALIGNMENT, np.uint8)
    start = -whole.ctypes.data % ALIGNMENT
    return whole[start : start + count].reshape(shape)


class OnDisk:
    """Images in a file without a name: it is gone when the process ends, however that ends.

    Not `np.memmap`, whose pages would count as memory of the process: 560 MB of 560, here 35.
    """

    dtype = np.dtype(np.uint8)

    def __init__(self, shape: tuple[int, ...], folder: Path) -> None:
        self.shape = shape
        self._bytes = int(np.prod(shape[1:]))
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115  # open as long as self
            weakref.finalize(self, self._file.close)
            if hasattr(os, "posix_fallocate"):  # a full disk is known before an hour of decoding
                os.posix_fallocate(self._file.fileno(), 0, self._bytes * shape[0])
        except OSError as error:
            raise DataError(
                f"Cannot keep {gib(self._bytes * shape[0])} of decoded photos in {folder}: "
                f"{error.strerror}. Make room there, or decode anew each time: `data.cache = none`."
            ) from None

    def __setitem__(self, row: int, image: Pixels) -> None:
        os.pwrite(self._file.fileno(), image.tobytes(), row * self._bytes)

    def __getitem__(self, rows: Rows) -> Pixels:
        out = np.empty((len(rows), *self.shape[1:]), np.uint8)
        for image, row in zip(out, rows, strict=True):
            os.preadv(self._file.fileno(), [image], int(row) * self._bytes)
        return out


class Undecoded:
    """Images that are decoded again each time; one that has changed since is an error."""

    dtype = np.dtype(np.uint8)

    def __init__(
        self, shape: tuple[int, ...], samples: Samples, digests: Sequence[str], resize: Resize
    ) -> None:
        self.shape = shape
        self._samples, self._digests, self._resize = samples, digests, resize
        self._pool = ThreadPoolExecutor(threads_for(samples.root))

    def __setitem__(self, row: int, image: Pixels) -> None:
        """Only its entry in `digests` is kept, which the reader makes."""

    def __getitem__(self, rows: Rows) -> Pixels:
        return np.stack(list(self._pool.map(self._decode, rows)))

    def _decode(self, row: np.int64) -> Pixels:
        place = int(row)
        try:
            image = self._samples.load(place, self.shape[1], self._resize)
        except ImageError as error:
            raise DataError(f"A photo disappeared during the run. {error}") from None
        if sha256(image) != self._digests[place]:
            raise DataError(
                f"{self._samples.name(place)} changed during the run. Restore it and continue with "
                "--resume, or start a new run."
            )
        return image


class Chosen:
    """The images of `images` at `rows`."""

    def __init__(self, images: Images, rows: Rows) -> None:
        self.shape: tuple[int, ...] = (len(rows), *images.shape[1:])
        self.dtype: np.dtype[Any] = images.dtype
        self.images, self._rows = images, rows

    def __getitem__(self, rows: Rows) -> NDArray[Any]:
        return self.images[self._rows[rows]]


def decodes_again(images: Images) -> bool:
    """Whether photos are read whenever their images are."""
    if isinstance(images, Chosen):
        return decodes_again(images.images)
    return isinstance(images, Undecoded)


def choose(need: int, folder: Path) -> tuple[Kind, str | None]:
    """Where to keep `need` bytes, and a message when that is not memory.

    Memory while half of what is free holds them, else a file in `folder` while half of the free
    disk does, else nowhere.
    """
    free = free_memory()
    if free is None or need <= free / 2:
        return "memory", None
    existing = next(path for path in (folder, *folder.parents) if os.path.exists(path))
    space = shutil.disk_usage(existing).free
    head = f"The decoded photos take {gib(need)}, more than half of the free memory ({gib(free)})"
    if need <= space / 2:
        return "disk", f"{head}: they are kept in a file in {folder}. `data.cache` chooses."
    return "none", f"{head} and of the free disk: each is decoded every time. `data.cache` chooses."


def free_memory() -> float | None:
    """Bytes available without swapping; None where the system does not report it."""
    try:
        lines = MEMINFO.read_text().splitlines()
    except OSError:  # no such file outside Linux
        return None
    kib = next(line.split()[1] for line in lines if line.startswith("MemAvailable:"))
    return min(int(kib) * 1024, _left_of_limit())


def _left_of_limit() -> float:
    """Bytes up to the limit of a container; without one, infinity."""
    try:
        limit, used = (int((CGROUP / f"memory.{name}").read_text()) for name in ("max", "current"))
        stat = dict(line.split() for line in (CGROUP / "memory.stat").read_text().splitlines())
    except (OSError, ValueError):  # no such files, or "max"
        return math.inf
    return max(limit - used + int(stat["inactive_file"]), 0)  # the last can be reclaimed


def sha256(image: Pixels) -> str:
    """Of the pixels, in hexadecimal."""
    return hashlib.sha256(np.ascontiguousarray(image).data).hexdigest()


def gib(count: float) -> str:
    """So many bytes, for a message."""
    return f"{count / 2**30:.1f} GiB"
