"""Where photos come from, as far as reading and splitting ask: `Source`; and how they are read.

`folder.Samples` is the one there is: files in class folders. Another is a small class that reads
its bytes elsewhere, and whatever lists its keys, as `folder.scan` does. Photos in a zip archive:

    class ZipSamples(Samples):  # root: the archive; paths: names in it, "<class>/<file>"
        def read(self, i: int) -> bytes:
            with zipfile.ZipFile(self.root) as archive:
                return archive.read(self.paths[i])

`split.csv`, `digests.csv` and the fingerprint of a run go by key, so the same photos under the same
keys are the same data, wherever they lie. Looking for changed files at a resume still opens files
of a folder.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from kvgg_jax.core.events import Emit, Progress
from kvgg_jax.data.decode.image import load_bytes

THREADS = (os.cpu_count() or 1) + 1  # one more: now and then one waits for Python's lock

T = TypeVar("T")
R = TypeVar("R")


class Source(Protocol):
    """Labelled photos by number, from 0 to its length."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names, in the order of the network's outputs."""

    def __len__(self) -> int: ...

    def key(self, i: int) -> str:
        """What identifies photo `i` for good: a run's files name it so."""

    def label(self, i: int) -> int:
        """The index of its class in `classes`."""

    def name(self, i: int) -> str:
        """What messages call it: where it is."""

    def read(self, i: int) -> bytes:
        """The content of its file. Raises ImageError, whose text has `name`, if there is none."""


def keys(source: Source) -> list[str]:
    """The key of each photo, in order."""
    return [source.key(i) for i in range(len(source))]


def load_photo(source: Source, i: int, size: int) -> NDArray[np.uint8]:
    """Photo `i` as `image.load` gives it. Raises ImageError."""
    return load_bytes(source.read(i), size, name=source.name(i))


def each(function: Callable[[T], R], items: Sequence[T], *, stage: str, emit: Emit) -> list[R]:
    """`function` of each item, in order, on all cores, with a Progress of `stage` after each."""
    results: list[R] = []
    with ThreadPoolExecutor(THREADS) as pool:
        try:
            for result in pool.map(function, items):
                results.append(result)
                emit(Progress(stage, len(results), len(items)))
        except BaseException:
            pool.shutdown(cancel_futures=True)  # Ctrl-C need not wait for the whole folder
            raise
    return results
