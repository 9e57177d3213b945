"""Columns of photos: sequences like a tuple, in the memory of their bytes."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvgg_jax.data import columns
from kvgg_jax.data.columns import CHUNK, Categories, Column, Digests, Numbers, Texts

VALUES = ("a/1.png", "", "b/grün.png", "b/\udcfc", "\ud800", "a/1.png")


@pytest.fixture(params=[Texts.of, Categories.of, lambda values: Numbers(np.arange(6))])
def column(request: pytest.FixtureRequest) -> tuple[Column[object], tuple[object, ...]]:
    """A column, and the tuple of its values."""
    made = request.param(VALUES)
    return made, tuple(range(6)) if isinstance(made, Numbers) else VALUES


def test_a_column_is_a_sequence_of_its_values(
    column: tuple[Column[object], tuple[object, ...]],
) -> None:
    """Whatever bytes a name has, and where it is asked for."""
    made, values = column
    assert (tuple(made), len(made), repr(made)) == (values, 6, repr(values))
    assert (made[0], made[-1], made[1:4]) == (values[0], values[-1], values[1:4])
    assert [made == one for one in (values, made[:], values[:5], (*values[:5], 7), 7)] == [
        *(True, True, False, False, False)
    ]
    assert values == made
    with pytest.raises(IndexError):
        made[6]


def test_rows_are_taken_and_joined(column: tuple[Column[object], tuple[object, ...]]) -> None:
    """In any order, of one column or of two."""
    made, values = column
    taken = made.take(np.array([4, 2]))
    assert taken == (values[4], values[2])
    assert taken.join(made[:1]) == (values[4], values[2], values[0])


def test_columns_of_their_own_are_joined() -> None:
    """Then nothing is shared."""
    assert Texts.of("ab").take(np.array([1])).join(Texts.of(["c", "dd"])) == ("b", "c", "dd")
    assert Categories.of("ab").join(Categories.of("bc")) == ("a", "b", "b", "c")


def test_the_rows_of_a_name_are_known() -> None:
    """None of a name that is not there."""
    column = Categories.of(VALUES)
    assert [column.rows(name).tolist() for name in ("a/1.png", "x")] == [[0, 5], []]


@pytest.mark.parametrize("shared", [True, False])
def test_texts_are_found_in_others(shared: bool) -> None:
    """By their place where they share their bytes."""
    every = Texts.of(["b", "a/1", "c", "d"])
    here, there = every.take(np.array([2, 0, 1])), every.take(np.array([1, 3, 2]))
    assert here.find(there if shared else Texts.of(there)).tolist() == [2, -1, 0]
    assert here.find(there[:0]).tolist() == []


def test_texts_of_one_hash_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """By their bytes."""
    monkeypatch.setattr(columns, "hash", len, raising=False)
    assert Texts.of(["b", "c", "dd"]).find(Texts.of(["c", "x", "dd", "b"])).tolist() == [
        1,
        -1,
        2,
        0,
    ]


def test_texts_without_others_are_the_rest() -> None:
    """In their order, whether the others share their bytes or not."""
    every = Texts.of(["b", "a", "c"])
    assert every.without(every[:1]) == every.without(Texts.of(["x", "b"])) == ("a", "c")
    assert Texts.of(every) is every


@given(st.lists(st.one_of(st.text(max_size=20), st.text("ab\0é\ud800😀", max_size=20)), max_size=8))
def test_the_order_of_texts_is_that_of_python(texts: list[str]) -> None:
    """Equal ones stay in their order."""
    assert Texts.of(texts).order().tolist() == sorted(range(len(texts)), key=texts.__getitem__)


def test_digests_take_their_bytes() -> None:
    """They are texts in hexadecimal, and sorted as those are."""
    texts = [hashlib.sha256(bytes([i])).hexdigest() for i in range(20)]
    digests = Digests.blank(20)
    for row, text in enumerate(texts):
        digests.put(row, text)
    assert digests == texts
    assert np.argsort(np.array(digests)).tolist() == np.argsort(texts).tolist()
    rows = np.array([3, 1])
    assert digests.take(rows).join(digests[:1]) == (texts[3], texts[1], texts[0])


def test_an_array_of_numbers_is_one() -> None:
    """Of the type that is asked for; its values are Python's own."""
    labels = Numbers(np.array([3, 1], np.int32))
    np.testing.assert_array_equal(np.array(labels, np.int64), np.array([3, 1]))
    assert (np.array(labels).dtype, type(labels[0])) == (np.int32, int)


@given(st.lists(st.text(max_size=5), max_size=20))
def test_texts_are_packed_and_come_back(texts: list[str]) -> None:
    """Those of a part alone too."""
    rows = np.arange(len(texts))[::2]
    content, ends = Texts.of(texts).take(rows).pack()
    assert Texts.packed(content, ends) == texts[::2]


def test_many_values_come_in_order() -> None:
    """They are made in chunks."""
    assert list(Numbers(np.arange(2 * CHUNK + 1))) == list(range(2 * CHUNK + 1))
