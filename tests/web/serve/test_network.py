"""Which batch sizes a served network is compiled for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from kvgg_jax import predict
from kvgg_jax.data.decode.image import load
from kvgg_jax.inference.classifier import load_classifier
from kvgg_jax.web.serve.network import Network, mean_of_views, sizes_up_to
from support.runs import Trained

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
    network = Network([load_classifier(finished)], most=3)
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


def test_the_heatmap_of_several_is_of_those_that_find_the_class() -> None:
    """By hand: of three views of one image, the second finds another class than the mean."""
    shares = [[[0.9, 0.1]], [[0.4, 0.6]], [[0.7, 0.3]]]
    heats = [np.full((1, 1, 2), value, np.float32) for value in (1.0, 50.0, 3.0)]
    found, heat = mean_of_views(list(zip(map(np.array, shares), heats, strict=True)))
    np.testing.assert_allclose(found, [[2 / 3, 1 / 3]])
    assert heat.tolist() == [[[2.0, 2.0]]]


def test_folds_are_served_as_predict_has_them(folds: Path, trained: Trained) -> None:
    """With `tta` too; under the name of their folder."""
    photo = next(trained.photos.glob("*/*"))
    members = [load_classifier(folds / f"fold-{number}") for number in (1, 2)]
    network = Network(members, most=1, tta=True)
    network.compile()
    (seen,) = network([load(photo, 32)])
    (expected,) = predict(photo, folds, tta=True)
    served = network.prediction(str(photo), seen)
    assert dict(served.top) == pytest.approx(dict(expected.top), abs=1e-6)
    assert (network.name, seen.heat.shape) == ("cv", (2, 2))
