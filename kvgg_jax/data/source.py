"""Where photos come from: `Source`, bytes by key; and work on many photos at once.

Each kind is one module in `sources/` with such a class and a function that lists its photos as
`Samples`; `open_photos.KINDS` has them all, and docs/architecture.md an example. `split.csv`,
`digests.csv` and the fingerprint of a run go by key, so the same photos under the same keys are the
same data, wherever they lie.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol, TypeVar, runtime_checkable

from kvgg_jax.core.events import Emit, Progress
from kvgg_jax.core.places import Place, Url

THREADS = (os.cpu_count() or 1) + 1  # one more: now and then one waits for Python's lock
AHEAD = 8  # for each thread, what is computed before it is used
WAITING = max(32, THREADS)

T = TypeVar("T")
R = TypeVar("R")


@runtime_checkable
class Source(Protocol):
    """Photos by key: what identifies a photo for good, such as its path below a folder."""

    @property
    def root(self) -> Place:
        """The place that messages name."""

    def list_keys(self) -> Iterable[str]:
        """Those of all photos that are there now. Raises DataError."""

    def name(self, key: str) -> str:
        """What messages call a photo: where it is."""

    def read(self, key: str) -> bytes:
        """The content of its file. Raises ImageError, whose text has `name`, if there is none."""


def threads_for(root: Place) -> int:
    """How many read photos at once: elsewhere most of them wait."""
    return WAITING if isinstance(root, Url) else THREADS


def each(
    function: Callable[[T], R],
    items: Sequence[T],
    *,
    stage: str,
    threads: int = THREADS,
    emit: Emit,
) -> list[R]:
    """`function` of each item, in order, on all cores, with a Progress of `stage` after each."""
    results: list[R] = []
    for result in in_order(function, items, threads=threads):
        results.append(result)
        emit(Progress(stage, len(results), len(items)))
    return results


def in_order(
    function: Callable[[T], R], items: Iterable[T], *, threads: int = THREADS
) -> Iterator[R]:
    """`function` of each item, in order, on all cores: a few are computed before they are used, so
    a million take no memory."""
    waiting: deque[Future[R]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        try:
            for item in items:
                waiting.append(pool.submit(function, item))
                if len(waiting) > AHEAD * threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)  # Ctrl-C need not wait for the whole folder
