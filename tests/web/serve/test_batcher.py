"""Questions are gathered, and answered in their order."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from kvgg_jax.web.serve import batcher as module
from kvgg_jax.web.serve.batcher import Batcher
from support.runs import PATIENCE


class PredictFunction:
    """Answers with the square; notes each batch, and can be held up in one."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.entered, self.go = threading.Event(), threading.Event()
        self.go.set()

    def __call__(self, asked: Sequence[int]) -> list[int]:
        self.batches.append(list(asked))
        self.entered.set()
        assert self.go.wait(PATIENCE)
        if 0 in asked:
            raise ZeroDivisionError("0")
        return [one * one for one in asked]


@asynccontextmanager
async def running(batcher: Batcher[int, int]) -> AsyncIterator[Callable[..., asyncio.Task[int]]]:
    """Ask it by the function that this gives."""
    task = asyncio.create_task(batcher.run())
    yield lambda number: asyncio.create_task(batcher.ask(number))
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def run(test: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(test, PATIENCE))


async def held_up(predict: PredictFunction) -> None:
    """Until the first batch is in progress, which then waits."""
    assert await asyncio.to_thread(predict.entered.wait, PATIENCE)


def test_what_comes_while_one_batch_is_computed_is_the_next() -> None:
    """Up to its bound, in the order it came."""
    predict = PredictFunction()

    async def test() -> None:
        async with running(Batcher(predict, most=3, wait=0.01)) as ask:
            predict.go.clear()
            answers = [ask(1)]
            await held_up(predict)
            answers += [ask(number) for number in (2, 3, 4, 5)]
            await asyncio.sleep(0)  # they are in the queue
            predict.go.set()
            assert await asyncio.gather(*answers) == [1, 4, 9, 16, 25]

    run(test())
    assert predict.batches == [[1], [2, 3, 4], [5]]


def test_a_single_question_does_not_wait_for_others() -> None:
    """Except for the time that was given."""
    predict = PredictFunction()

    async def test() -> None:
        async with running(Batcher(predict, most=3, wait=0.01)) as ask:
            assert await ask(7) == 49

    run(test())
    assert predict.batches == [[7]]


def test_an_error_goes_to_those_of_its_batch() -> None:
    """The next batch is answered."""

    async def test() -> None:
        async with running(Batcher(PredictFunction(), most=1, wait=0)) as ask:
            wrong, right = ask(0), ask(2)
            with pytest.raises(ZeroDivisionError):
                await wrong
            assert await right == 4

    run(test())


def test_nothing_is_computed_that_nobody_waits_for() -> None:
    """As when a client has left."""
    predict = PredictFunction()

    async def test() -> None:
        async with running(Batcher(predict, most=3, wait=0.01)) as ask:
            predict.go.clear()
            first = ask(1)
            await held_up(predict)
            left, last = ask(2), ask(3)
            await asyncio.sleep(0)
            left.cancel()
            await asyncio.gather(left, return_exceptions=True)
            predict.go.set()
            assert (await first, await last) == (1, 9)

    run(test())
    assert predict.batches == [[1], [3]]


def test_who_leaves_while_its_batch_is_computed_harms_nobody() -> None:
    """The others of the batch are answered."""
    predict = PredictFunction()

    async def test() -> None:
        async with running(Batcher(predict, most=2, wait=PATIENCE)) as ask:
            predict.go.clear()
            left, stays = ask(2), ask(3)
            await held_up(predict)
            left.cancel()
            await asyncio.gather(left, return_exceptions=True)
            predict.go.set()
            assert await stays == 9

    run(test())


def test_the_size_and_time_of_each_batch_are_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    """For the metrics; the time is that of `predict` alone."""
    seen: list[tuple[int, float]] = []
    clock = SimpleNamespace(now=100.0, monotonic=lambda: clock.now)
    monkeypatch.setattr(module, "time", clock)

    def predict(asked: Sequence[int]) -> Sequence[int]:
        clock.now += 7
        return asked

    async def test() -> None:
        batcher = Batcher[int, int](
            predict, most=2, wait=PATIENCE, watch=lambda *both: seen.append(both)
        )
        async with running(batcher) as ask:
            assert await asyncio.gather(ask(1), ask(2)) == [1, 2]

    run(test())
    assert seen == [(2, 7.0)]
