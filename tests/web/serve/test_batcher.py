"""Questions are gathered, answered in their order, bounded in number."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from kvgg_jax.web.serve.batcher import Batcher, CapacityLimit, Full


class PredictFunction:
    """Answers with the square; notes each batch, and can be held up in one."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.entered, self.go = threading.Event(), threading.Event()
        self.go.set()

    def __call__(self, asked):
        self.batches.append(list(asked))
        self.entered.set()
        assert self.go.wait(10)
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
    assert predict.entered.wait(10)
    futures += [batcher.ask(number) for number in (2, 3, 4, 5)]
    predict.go.set()
    assert [future.result(10) for future in futures] == [1, 4, 9, 16, 25]
    assert predict.batches == [[1], [2, 3, 4], [5]]


def test_a_single_question_does_not_wait_for_others(
    predict: PredictFunction, batcher: Batcher
) -> None:
    """But for the time it was told."""
    assert batcher.ask(7).result(10) == 49
    assert predict.batches == [[7]]


def test_an_error_goes_to_those_of_its_batch(batcher: Batcher) -> None:
    """The thread lives on."""
    with pytest.raises(ZeroDivisionError):
        batcher.ask(0).result(10)
    assert batcher.ask(2).result(10) == 4


def test_nobody_judges_what_nobody_waits_for(predict: PredictFunction, batcher: Batcher) -> None:
    """As when its sender has gone."""
    predict.go.clear()
    first = batcher.ask(1)
    assert predict.entered.wait(10)
    left, last = batcher.ask(2), batcher.ask(3)
    assert left.cancel()
    predict.go.set()
    assert (first.result(10), last.result(10)) == (1, 9)
    assert predict.batches == [[1], [3]]


def test_what_was_asked_is_answered_before_it_closes(predict: PredictFunction) -> None:
    """Even amid gathering."""
    batcher = Batcher[int, int](predict, most=100, wait=60)
    futures = [batcher.ask(number) for number in (1, 2)]
    batcher.close()
    assert [future.result(0) for future in futures] == [1, 4]


def test_the_size_and_time_of_each_batch_are_told(predict: PredictFunction) -> None:
    """For the metrics."""
    seen: list[tuple[int, float]] = []
    batcher = Batcher[int, int](
        predict, most=2, wait=60, watch=lambda size, seconds: seen.append((size, seconds))
    )
    for future in [batcher.ask(1), batcher.ask(2)]:
        future.result(10)
    batcher.close()
    ((size, seconds),) = seen
    assert size == 2
    assert 0 <= seconds < 10


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
