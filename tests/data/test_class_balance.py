"""Uneven classes: weights, an even draw, and the line that says so."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvgg_jax.data.class_balance import class_weights, describe, draw_evenly, missing_in_validation
from kvgg_jax.data.pipeline import Pipeline, hold
from kvgg_jax.data.reader import DecodedImages
from kvgg_jax.data.samples import Samples
from kvgg_jax.data.sources.folder import Folder


def samples(*counts: int) -> Samples:
    """So many photos of class a, b, c ..."""
    labels = tuple(label for label, count in enumerate(counts) for _ in range(count))
    paths = tuple(f"{number}.png" for number in range(len(labels)))
    return Samples(Folder(Path()), paths, labels, tuple("abcdef"[: len(counts)]))


def test_all_classes_weigh_alike_and_the_mean_over_the_photos_is_1():
    """12 photos in 3 classes: 4 each would weigh 1."""
    weights = class_weights(samples(1, 3, 8))
    assert weights.tolist() == [4, pytest.approx(4 / 3), 0.5]
    assert weights.dtype == np.float32
    assert class_weights(samples(4, 4)).tolist() == [1, 1]
    assert class_weights(samples(4, 0, 2)).tolist() == [0.75, 0, 1.5]


@settings(deadline=None)
@given(st.lists(st.integers(1, 20), min_size=2, max_size=5), st.integers(0, 2**32))
def test_each_class_is_drawn_equally_often_and_so_is_each_of_its_photos(counts, seed):
    """To one, where it does not come out even; and as many in all as there are photos."""
    labels = np.array(samples(*counts).labels, np.int32)
    rows = np.arange(len(labels)) + 100
    drawn = draw_evenly(rows, labels, np.random.default_rng(seed))
    assert len(drawn) == len(rows)
    times = Counter(drawn.tolist())
    per_class = [sum(times[row] for row in rows[labels == k]) for k in range(len(counts))]
    assert max(per_class) - min(per_class) <= 1
    for k in range(len(counts)):
        of_class = [times[row] for row in rows[labels == k]]
        assert max(of_class) - min(of_class) <= 1


def pipeline(seed: int) -> Pipeline:
    found = samples(2, 10)
    store = hold(DecodedImages(found, np.zeros((12, 1, 1, 3), np.uint8)))
    return Pipeline(store, np.arange(12), batch_size=4, seed=seed, balance=True)


def test_a_pipeline_draws_evenly_by_seed_and_epoch_alone():
    """6 of each class; over some epochs, each photo of the large class has its turn."""
    orders = [pipeline(1).order(epoch) for epoch in range(1, 9)]
    for epoch, order in enumerate(orders, 1):
        assert Counter((order >= 2).tolist()) == {True: 6, False: 6}
        np.testing.assert_array_equal(pipeline(1).order(epoch), order)
    assert len({tuple(order) for order in (*orders, pipeline(2).order(1))}) == 9
    assert {row for order in orders for row in order.tolist()} == set(range(12))
    labels = [batch.labels.tolist() for batch in pipeline(1).epoch(1)]
    assert np.concatenate(labels).tolist() == (orders[0] >= 2).astype(int).tolist()


def test_uneven_classes_are_pointed_out_in_one_line_with_what_is_done():
    """Where the largest has twice the photos of the smallest; names are shown in one line."""

    def line(*counts: int, **done: bool) -> str | None:
        return describe(samples(*counts), **{"drawn_evenly": False, "weighted": False, **done})

    head = "Uneven classes: 3 training photos of b, 8 of c; "
    assert (
        line(4, 3, 8)
        == head + "`data.balance = true` or `train.class_weight = balanced` makes them count alike"
    )
    assert line(4, 3, 8, drawn_evenly=True) == head + "each class is drawn equally often"
    assert line(4, 3, 8, weighted=True) == head + "a photo counts 0.625 to 1.67 times, by its class"
    assert line(4, 5, 7) is None


def test_classes_without_a_validation_photo_are_named_in_one_line():
    """What is measured says nothing of them; with a photo of each there is no word."""
    tail = "`data.split = stratified` gives each class its share"
    for found, names, which in ((samples(4, 0, 3), "b", "it"), (samples(0, 2, 0), "a, c", "them")):
        assert missing_in_validation(found, "keras") == (
            f"No validation photo of {names}: the accuracy says nothing of {which}. {tail}"
        )
    assert missing_in_validation(samples(1, 1), "keras") is None
    advice = "More photos of them, or a larger `data.val_split`, would help"
    for how in ("stratified", "grouped"):
        assert (missing_in_validation(samples(4, 0), how) or "").endswith(f". {advice}")
