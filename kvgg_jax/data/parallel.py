"""Something done with each of many files, on all cores."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from kvgg_jax.core.events import Emit, Progress

THREADS = (os.cpu_count() or 1) + 1  # one more: now and then one waits for Python's lock

T = TypeVar("T")
R = TypeVar("R")


def each(function: Callable[[T], R], items: Sequence[T], *, stage: str, emit: Emit) -> list[R]:
    """`function` of each item, in their order, with a Progress of `stage` after each."""
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
