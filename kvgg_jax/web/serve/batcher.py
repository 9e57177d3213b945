"""Micro-batching: what many clients ask for within milliseconds is answered together."""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from typing import Any, Generic, NamedTuple, TypeVar

Asked = TypeVar("Asked")
Answer = TypeVar("Answer")


class Full(Exception):
    """There is no room now; it is worth to come back soon."""


class CapacityLimit:
    """So much at one time and no more. For one thread, as that of an event loop."""

    def __init__(self, size: int) -> None:
        self.size, self.used = size, 0

    @contextlib.contextmanager
    def take(self, amount: int) -> Iterator[None]:
        """Hold `amount` of it within the block. Raises Full where there is less."""
        if self.used + amount > self.size:
            raise Full
        self.used += amount
        try:
            yield
        finally:
            self.used -= amount


class _Item(NamedTuple):
    asked: object
    at: float
    future: Future[Any]


class Batcher(Generic[Asked, Answer]):
    """Gathers single questions for `predict`, which a thread of its own calls.

    A batch is closed when it has `most` of them, or `wait` seconds after its first one came; while
    one is judged the next gathers. `watch` is told the size of each, and its seconds.
    """

    def __init__(
        self,
        predict: Callable[[Sequence[Asked]], Sequence[Answer]],
        *,
        most: int,
        wait: float,
        watch: Callable[[int, float], None] = lambda size, seconds: None,
    ) -> None:
        self.most = most
        self._judge, self._wait, self._watch = predict, wait, watch
        self._queue: queue.SimpleQueue[_Item | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="batches", daemon=True)
        self._thread.start()

    def ask(self, asked: Asked) -> Future[Answer]:
        """The answer, to be waited for; what `predict` raises is raised from it."""
        future: Future[Answer] = Future()
        self._queue.put(_Item(asked, time.monotonic(), future))
        return future

    def close(self) -> None:
        """Answer what was asked, then end the thread."""
        self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (first := self._queue.get()) is not None:
            items = [
                item for item in self._gather(first) if item.future.set_running_or_notify_cancel()
            ]
            if items:
                self._answer(items)

    def _gather(self, first: _Item) -> list[_Item]:
        items = [first]
        while len(items) < self.most:
            left = first.at + self._wait - time.monotonic()
            try:
                item = self._queue.get(timeout=left) if left > 0 else self._queue.get_nowait()
            except queue.Empty:
                break
            if item is None:
                self._queue.put(None)  # for `_run`
                break
            items.append(item)
        return items

    def _answer(self, items: list[_Item]) -> None:
        started = time.monotonic()
        try:
            answers = self._judge([item.asked for item in items])  # type: ignore[misc]
        except Exception as error:  # goes to those who asked; the next batch has its own chance
            for item in items:
                item.future.set_exception(error)
            return
        self._watch(len(items), time.monotonic() - started)
        for item, answer in zip(items, answers, strict=True):
            item.future.set_result(answer)
