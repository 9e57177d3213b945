"""Where photos come from: `Source`, bytes by key; and work on many photos at once.

Each kind is one module in `sources/` with such a class and a function that lists its photos as
`Samples`; `open_photos.KINDS` has them all, and docs/architecture.md an example. `split.csv`,
`digests.csv` and the fingerprint of a run go by key, so the same photos under the same keys are the
same data, wherever they lie.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol, TypeVar, runtime_checkable

from kvgg_jax.core.events import Emit, Progress

THREADS = (os.cpu_count() or 1) + 1  # one more: now and then one waits for Python's lock

T = TypeVar("T")
R = TypeVar("R")


@runtime_checkable
class Source(Protocol):
    """Photos by key: what identifies a photo for good, such as its path below a folder."""

    @property
    def root(self) -> Path:
        """The place that messages name."""

    def list_keys(self) -> Iterable[str]:
        """Those of all photos that are there now. Raises DataError."""

    def name(self, key: str) -> str:
        """What messages call a photo: where it is."""

    def read(self, key: str) -> bytes:
        """The content of its file. Raises ImageError, whose text has `name`, if there is none."""


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
