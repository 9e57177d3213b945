"""Micro-batching: what many clients ask for within milliseconds is computed together."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Generic, NamedTuple, TypeVar

Asked = TypeVar("Asked")
Answer = TypeVar("Answer")


class _Item(NamedTuple):
    asked: Any
    at: float
    answer: asyncio.Future[Any]


class Batcher(Generic[Asked, Answer]):
    """Gathers single questions for `predict`, which runs in a thread of its own.

    A batch is closed when it has `most` of them, or `wait` seconds after its first one came; while
    one is computed the next gathers. `watch` gets the size of each, and its seconds.
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
        self._predict, self._wait, self._watch = predict, wait, watch
        self._queue: asyncio.Queue[_Item] = asyncio.Queue()

    async def ask(self, asked: Asked) -> Answer:
        """The answer; raises what `predict` raises."""
        loop = asyncio.get_running_loop()
        item = _Item(asked, loop.time(), loop.create_future())
        self._queue.put_nowait(item)
        answer: Answer = await item.answer
        return answer

    async def run(self) -> None:
        """Answer what is asked, until this is cancelled."""
        with ThreadPoolExecutor(1, "batches") as thread:
            while True:
                items = [item for item in await self._gather() if not item.answer.done()]
                if items:
                    await self._answer(items, thread)

    async def _gather(self) -> list[_Item]:
        items = [await self._queue.get()]
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(items[0].at + self._wait):
                while len(items) < self.most:
                    items.append(await self._queue.get())
        return items

    async def _answer(self, items: list[_Item], thread: ThreadPoolExecutor) -> None:
        started, asked = time.monotonic(), [item.asked for item in items]
        loop = asyncio.get_running_loop()
        results: Sequence[Any] | Exception
        try:
            results = await loop.run_in_executor(thread, self._predict, asked)
            self._watch(len(items), time.monotonic() - started)
        except Exception as error:  # goes to those who asked; the next batch has its own chance
            results = error
        for k, item in enumerate(items):
            if item.answer.done():  # its client has left
                continue
            if isinstance(results, Exception):
                item.answer.set_exception(results)
            else:
                item.answer.set_result(results[k])
