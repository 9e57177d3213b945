"""Which batch sizes a served network is compiled for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kvgg_jax.inference.classifier import load_classifier
from kvgg_jax.web.serve.network import Network, sizes_up_to

pytestmark = pytest.mark.usefixtures("thin_network")


def clock(seconds: dict[int, float]) -> Callable[[], float]:
    """One by which batches take so long, first and second time."""

    def times() -> Iterator[float]:
        now = 0.0
        for each in seconds.values():
            for _ in range(2):
                yield now
                now += each
                yield now

    return times().__next__


@pytest.mark.parametrize(
    ("seconds", "kept"),
    [
        ({1: 1.0, 2: 1.5, 3: 2.0}, (1, 2, 3)),
        ({1: 1.0, 2: 2.1, 3: 2.9}, (1, 3)),
        ({1: 1.0, 2: 2.0, 3: 3.0}, (1,)),
    ],
)
def test_a_size_that_saves_no_time_is_left_out(
    finished: Path, seconds: dict[int, float], kept: tuple[int, ...]
) -> None:
    """Photos are computed together where that is sooner."""
    network = Network(load_classifier(finished), most=3)
    network.compile(clock=clock(seconds))
    assert network.sizes == kept
    assert network.most == kept[-1]


def test_sizes_double() -> None:
    """So a batch is padded to less than twice its photos."""
    assert [sizes_up_to(most) for most in (1, 2, 3, 8, 12)] == [
        (1,),
        (1, 2),
        (1, 2, 3),
        (1, 2, 4, 8),
        (1, 2, 4, 8, 12),
    ]
