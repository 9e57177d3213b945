"""Batches of a caller's own: each fault gets a message, all else becomes batches of one shape."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from kvgg_jax.core.errors import DataError
from kvgg_jax.core.events import Event
from kvgg_jax.core.keras_gate import keras
from kvgg_jax.core.state import Batch
from kvgg_jax.core.tf_gate import tf
from kvgg_jax.training.own.batches import CheckedBatches, read_first

INPUTS = np.arange(10 * 4, dtype=np.uint8).reshape(10, 2, 2, 1)
LABELS = np.arange(10) % 3


def pairs(*counts: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Batches of so many of the inputs, in order."""
    ends = list(itertools.accumulate(counts, initial=0))
    return [(INPUTS[a:b], LABELS[a:b]) for a, b in itertools.pairwise(ends)]


def checked(source: Any, **options: Any) -> CheckedBatches:
    return CheckedBatches("train", source, read_first("train", source), **{"classes": 3, **options})


def rows(batches: list[Batch]) -> list[tuple[list[int], list[int], list[float]]]:
    """Of each batch the first pixels, the labels and the weights."""
    return [(b.images[:, 0, 0, 0].tolist(), b.labels.tolist(), b.weight.tolist()) for b in batches]


EXPECTED = [
    ([0, 4, 8, 12], [0, 1, 2, 0], [1, 1, 1, 1]),
    ([16, 20, 24, 28], [1, 2, 0, 1], [1, 1, 1, 1]),
    ([32, 36, 32, 36], [2, 0, 2, 0], [1, 1, 0, 0]),
]


class Numbered(keras.utils.PyDataset):
    """One that never raises IndexError, as its documentation has them."""

    def __len__(self) -> int:
        return 3

    def __getitem__(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        part = slice(4 * number, 4 * number + 4)
        return INPUTS[part], LABELS[part]


class Endless:
    """It can be read again, and knows no length."""

    def __iter__(self) -> Any:
        return iter(pairs(4, 4, 2))


@pytest.mark.parametrize(
    "source",
    [
        pairs(4, 4, 2),
        Endless(),
        Numbered(),
        tf.data.Dataset.from_tensor_slices((INPUTS, LABELS)).batch(4),
        tf.data.Dataset.from_tensor_slices((INPUTS, LABELS)).filter(lambda x, y: True).batch(4),
        lambda epoch: pairs(4, 4, 2),
        lambda epoch: (pair for pair in pairs(4, 4, 2)),
        [[x, y[:, None]] for x, y in pairs(4, 4, 2)],
    ],
    ids=[
        *("list", "iterable", "PyDataset", "tf.data", "tf.data of unknown length", "function"),
        *("function that gives a generator", "labels as a column"),
    ],
)
def test_any_source_becomes_full_batches_the_last_one_padded(source):
    """From any step on; fillers are rows of the same batch, with weight 0."""
    batches = checked(source)
    assert batches.steps == 3
    assert rows([*batches.epoch(1)]) == EXPECTED
    assert rows([*batches.epoch(2, start=2)]) == EXPECTED[2:]
    assert rows([*batches.epoch(0)]) == EXPECTED


def test_types_are_those_that_the_step_knows():
    """uint8 stays, other floats become float32; labels int32, or float32 shares."""
    inputs, shares = np.zeros((2, 4)), np.eye(3)[:2]
    for given, expected in ((np.uint8([0, 2]), "int32 [2]"), (shares, "float32 [2, 3]")):
        batches = checked([(inputs.astype(np.float16), given)])
        assert batches.describe() == {
            "train.steps": 1,
            "train.inputs": "float32 [2, 4]",
            "train.labels": expected,
        }
        (batch,) = batches.epoch(1)
        np.testing.assert_array_equal(batch.labels, given)


def test_a_function_gets_the_epoch_and_validation_is_that_of_the_first():
    """Epochs count from 1; the loop validates with epoch 0."""
    asked: list[int] = []
    batches = checked(lambda epoch: asked.append(epoch) or pairs(4))
    asked.clear()
    for epoch in (0, 1, 5):
        assert len([*batches.epoch(epoch)]) == 1
    assert asked == [1, 1, 5]


def test_a_known_number_of_steps_is_not_counted():
    """To count, all data would be read through."""
    batches = CheckedBatches("train", Endless(), read_first("train", Endless()), classes=3, steps=3)
    assert batches.steps == 3
    wrong = CheckedBatches("train", Endless(), read_first("train", Endless()), classes=3, steps=2)
    with pytest.raises(DataError, match="more than the expected 2 batches"):
        [*wrong.epoch(1)]


def test_an_order_that_is_not_repeated_is_a_warning_with_the_way_out():
    """It shows when the first epoch is read."""
    given, heard = pairs(4, 4), list[Event]()
    batches = checked(lambda epoch: [*given], emit=heard.append)
    given.reverse()
    assert len([*batches.epoch(1)]) == 2
    (warned,) = heard
    assert warned.text == (
        "`train` gives other batches each time it is read, so a resume cannot be exact. Give a "
        "function of the epoch that seeds all it draws: train=lambda epoch: ..."
    )


HALF = np.full((4, 3), 0.5)


@pytest.mark.parametrize(
    ("source", "text"),
    [
        (
            iter(pairs(4)),
            "`train` can be read once only. Give a list or a dataset, which can be read again, or "
            "a function that makes it anew: train=lambda epoch: ...",
        ),
        ([], "`train` has no batch."),
        (lambda epoch: None, "`train` gives no batches: NoneType cannot be iterated."),
        (
            tf.data.Dataset.from_tensor_slices((INPUTS, LABELS)).batch(4).repeat(),
            "`train` is endless: leave out `repeat`, or `take` as much as an epoch has.",
        ),
        (
            (INPUTS, LABELS),
            "`train`, batch 1: uint8 [10, 2, 2, 1], expected a pair (inputs, labels).",
        ),
        (
            [(INPUTS, LABELS, LABELS)],
            "`train`, batch 1: tuple (ndarray, ndarray, ndarray), expected a pair (inputs, "
            "labels).",
        ),
        (
            [({"image": INPUTS}, LABELS)],
            "`train`, batch 1: a pair of tuple (dict, ndarray), expected two arrays.",
        ),
        (
            [(INPUTS, LABELS[:4])],
            "`train`, batch 1: inputs uint8 [10, 2, 2, 1] and labels int64 [4], expected as many "
            "labels as inputs, at least 1.",
        ),
        (
            [(INPUTS.astype(int), LABELS)],
            "`train`, batch 1: inputs int64 [10, 2, 2, 1], expected uint8, which is scaled to [0, "
            "1], or floats.",
        ),
        (
            [(INPUTS, LABELS.astype(float))],
            "`train`, batch 1: labels float64 [10], expected whole numbers [count], or shares of "
            "the classes as floats [count, classes].",
        ),
        (
            [(INPUTS, LABELS + 1)],
            "`train`, batch 1: labels from 1 to 3; the model has 3 outputs, so they must be from 0 "
            "to 2.",
        ),
        (
            [(INPUTS, np.full(10, 2**32))],  # 0 in 32 bits
            "`train`, batch 1: labels from 2147483647 to 2147483647; the model has 3 outputs, so "
            "they must be from 0 to 2.",
        ),
        (
            [(INPUTS, np.ones((10, 2)) / 2)],
            "`train`, batch 1: labels float32 [10, 2]; the model has 3 outputs.",
        ),
        (
            [(INPUTS[:4], HALF)],
            "`train`, batch 1: the shares of a label must not be negative, and sum to 1.",
        ),
    ],
)
def test_what_is_no_source_is_refused_at_once(source, text):
    """Before anything is compiled or written."""
    with pytest.raises(DataError) as caught:
        checked(source)
    assert str(caught.value) == text


OTHER = [*pairs(4), (np.zeros((4, 3, 3, 1), np.uint8), LABELS[:4])]


@pytest.mark.parametrize(
    ("later", "text"),
    [
        (pairs(4, 2, 4), "batch 2: 2 rows, where the first batch has 4. Only the last batch of an "
         "epoch may be smaller."),
        (pairs(2, 4), "batch 2: 4 rows, where the first batch has 2. Only the last batch of an "
         "epoch may be smaller."),
        (OTHER, "batch 2: uint8 [4, 3, 3, 1], where the first batch has uint8 [4, 2, 2, 1]. All "
         "batches must have one shape and one type."),
        ([*pairs(4), (INPUTS[:4] / 255, LABELS[:4])], "batch 2: float32 [4, 2, 2, 1], where the "
         "first batch has uint8 [4, 2, 2, 1]. All batches must have one shape and one type."),
        ([*pairs(4), (INPUTS[:4], -LABELS[:4])], "batch 2: labels from -2 to 0; the model has 3 "
         "outputs, so they must be from 0 to 2."),
    ],
)  # fmt: skip
def test_a_later_batch_that_is_wrong_is_named(later, text):
    """By its epoch and number."""
    with pytest.raises(DataError) as caught:
        [*checked(later).epoch(2)]
    assert str(caught.value) == f"`train`, epoch 2, {text}"


def test_an_epoch_of_another_length_is_named_before_its_last_step():
    """Else its state would be saved as that of a whole epoch."""
    batches = checked(lambda epoch: pairs(*[2] * (2, 1, 3)[epoch - 1]))
    with pytest.raises(DataError) as caught:
        [*batches.epoch(2)]
    assert str(caught.value) == "`train`, epoch 2: 1 batches, expected 2."
    given = batches.epoch(3)
    next(given)
    with pytest.raises(DataError) as caught:
        next(given)
    assert str(caught.value) == "`train`, epoch 3: more than the expected 2 batches."
