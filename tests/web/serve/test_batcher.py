"""Questions are gathered, answered in their order, bounded in number."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from kvgg_jax.web.serve import batcher as module
from kvgg_jax.web.serve.batcher import Batcher, CapacityLimit, Full
from support.runs import PATIENCE


class PredictFunction:
    """Answers with the square; notes each batch, and can be held up in one."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.entered, self.go = threading.Event(), threading.Event()
        self.go.set()

    def __call__(self, asked):
        self.batches.append(list(asked))
        self.entered.set()
        assert self.go.wait(PATIENCE)
        if 0 in asked:
            raise ZeroDivisionError("0")
        return [one * one for one in asked]


@pytest.fixture
def predict() -> PredictFunction:
    """One for each test."""
    return PredictFunction()


@pytest.fixture
def batcher(predict: PredictFunction) -> Iterator[Batcher[int, int]]:
    """Up to 3, gathered for a hundredth of a second."""
    made = Batcher[int, int](predict, most=3, wait=0.01)
    yield made
    predict.go.set()
    made.close()


def test_what_comes_while_one_batch_is_judged_is_the_next(
    predict: PredictFunction, batcher: Batcher
) -> None:
    """Up to its bound, in the order it came."""
    predict.go.clear()
    futures = [batcher.ask(1)]
    assert predict.entered.wait(PATIENCE)
    futures += [batcher.ask(number) for number in (2, 3, 4, 5)]
    predict.go.set()
    assert [future.result(PATIENCE) for future in futures] == [1, 4, 9, 16, 25]
    assert predict.batches == [[1], [2, 3, 4], [5]]


def test_a_single_question_does_not_wait_for_others(
    predict: PredictFunction, batcher: Batcher
) -> None:
    """But for the time it was told."""
    assert batcher.ask(7).result(PATIENCE) == 49
    assert predict.batches == [[7]]


def test_an_error_goes_to_those_of_its_batch(batcher: Batcher) -> None:
    """The thread lives on."""
    with pytest.raises(ZeroDivisionError):
        batcher.ask(0).result(PATIENCE)
    assert batcher.ask(2).result(PATIENCE) == 4


def test_nobody_judges_what_nobody_waits_for(predict: PredictFunction, batcher: Batcher) -> None:
    """As when its sender has gone."""
    predict.go.clear()
    first = batcher.ask(1)
    assert predict.entered.wait(PATIENCE)
    left, last = batcher.ask(2), batcher.ask(3)
    assert left.cancel()
    predict.go.set()
    assert (first.result(PATIENCE), last.result(PATIENCE)) == (1, 9)
    assert predict.batches == [[1], [3]]


def test_what_was_asked_is_answered_before_it_closes(predict: PredictFunction) -> None:
    """Even amid gathering."""
    batcher = Batcher[int, int](predict, most=100, wait=PATIENCE)
    futures = [batcher.ask(number) for number in (1, 2)]
    batcher.close()
    assert [future.result(0) for future in futures] == [1, 4]


def test_the_size_and_time_of_each_batch_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """For the metrics; the time is that of the judge alone."""
    seen: list[tuple[int, float]] = []
    clock = SimpleNamespace(now=100.0, monotonic=lambda: clock.now)
    monkeypatch.setattr(module, "time", clock)

    def predict(asked):
        clock.now += 7
        return asked

    batcher = Batcher[int, int](
        predict, most=2, wait=PATIENCE, watch=lambda size, seconds: seen.append((size, seconds))
    )
    for future in [batcher.ask(1), batcher.ask(2)]:
        future.result(PATIENCE)
    batcher.close()
    assert seen == [(2, 7.0)]


def test_a_room_is_given_back_whatever_happens() -> None:
    """All of it or nothing is taken."""
    room = CapacityLimit(3)
    with room.take(2):
        with pytest.raises(Full), room.take(2):
            pass
        with room.take(1):
            assert room.used == 3
    with pytest.raises(KeyError), room.take(2):
        raise KeyError
    assert room.used == 0
