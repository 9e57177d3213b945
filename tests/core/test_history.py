"""What a run measured, and the two decisions taken from it: which epoch is best, when to stop."""

from __future__ import annotations

import math
from dataclasses import replace
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvgg_jax.core.history import COLUMNS, EXTRA, MONITORS, Epoch, History
from kvgg_jax.core.keras_gate import keras

NAN, INF = math.nan, math.inf
USUAL = [name for name in COLUMNS if name not in EXTRA]


def rows(*pairs: tuple[float, float]) -> History:
    """A history with these (validation accuracy, validation loss) and nothing else of interest."""
    blank = Epoch(0, 1.0, 0.5, 0.0, 0.0, 1e-4, 2.0, 10.0)
    return History(
        tuple(
            replace(blank, epoch=number, val_accuracy=accuracy, val_loss=loss)
            for number, (accuracy, loss) in enumerate(pairs, 1)
        )
    )


@pytest.mark.parametrize(
    ("pairs", "best"),
    [
        ([(0.5, 1.0), (0.75, 2.0), (0.5, 0.1)], 2),
        ([(0.5, 1.0), (0.5, 0.9), (0.5, 0.95)], 2),
        ([(0.5, 1.0), (0.5, 1.0)], 1),
        ([(NAN, 0.1), (0.0, 5.0)], 2),
        ([(0.5, NAN), (0.5, 9.0)], 2),
        ([(0.5, 9.0), (0.75, NAN)], 1),
        ([(NAN, NAN), (NAN, NAN)], 1),
    ],
)
def test_the_best_epoch_is_the_most_accurate_then_the_surest_then_the_earliest(pairs, best):
    """By validation accuracy, then validation loss, then epoch; NaN is worse than any number."""
    found = rows(*pairs).best
    assert found is not None
    assert found.epoch == best


@pytest.mark.parametrize("monitor", ["balanced_accuracy", "macro_f1"])
def test_what_is_monitored_decides_instead_of_the_accuracy(monitor):
    """Of equal values the lower loss, then the earlier epoch; a row without it is never best."""
    history = History(monitor=monitor)
    for epoch, (value, loss) in enumerate([(0.5, 1.0), (0.7, 2.0), (0.7, 1.5), (0.7, 1.5)], 1):
        history = history.append(Epoch(epoch, 1, 1, loss, 1 / epoch, **{f"val_{monitor}": value}))
    assert history.best == history.epochs[2]
    longer = history.append(Epoch(5, 1, 1, 0.1, 1.0))
    assert longer.best == history.best
    assert [history.upto(epoch).stale(0.1) for epoch in (1, 2, 3, 4)] == [0, 0, 1, 2]
    assert History.from_csv(history.to_csv(), monitor) == history
    head = history.to_csv().splitlines()[0]
    assert head == f"epoch,loss,accuracy,val_loss,val_accuracy,val_{monitor}"
    with pytest.raises(ValueError, match=r".") as caught:
        History.from_csv(rows((0.5, 1.0)).to_csv(), monitor)
    assert str(caught.value) == f"expected the columns {HEAD},val_{monitor}, each once"


@pytest.mark.parametrize(
    ("losses", "best"),
    [([1.0, 0.5, 0.75], 2), ([0.5, 0.5], 1), ([NAN, 9.0], 2), ([INF, 2.0], 2), ([NAN, NAN], 1)],
)
def test_a_low_loss_is_better_where_it_is_monitored(losses, best):
    """Whatever the accuracy."""
    pairs = [(1 - number / 10, loss) for number, loss in enumerate(losses)]
    found = replace(rows(*pairs), monitor="loss").best
    assert found is not None
    assert found.epoch == best


@pytest.mark.parametrize("monitor", MONITORS)
def test_the_header_of_no_epochs_has_what_is_monitored(monitor):
    """As a resume writes it that begins anew."""
    own = [] if f"val_{monitor}" in USUAL else [f"val_{monitor}"]
    assert History(monitor=monitor).to_csv() == ",".join([*USUAL, *own]) + "\n"


def test_an_epoch_is_described_by_the_figures_asked_for():
    """Each once."""
    row = Epoch(1, 1.0, 1.0, 0.25, 0.5, val_macro_f1=0.75)
    assert row.describe("loss", "accuracy", "loss") == "loss 0.2500, accuracy 0.5000"
    assert row.describe("macro_f1") == "macro F1 0.7500"


def test_an_empty_history_has_no_best_epoch():
    """Before the first epoch there is nothing to keep."""
    assert History().best is None
    assert History().stale(0.001) == 0


def keras_stops_after(
    values: list[float], *, patience: int, min_delta: float, mode: str
) -> int | None:
    """The epoch at which Keras' own callback ends training, counted from 1; None for never."""
    callback = keras.callbacks.EarlyStopping("x", min_delta=min_delta, patience=patience, mode=mode)
    callback.set_model(SimpleNamespace(stop_training=False))
    callback.on_train_begin()
    for epoch, value in enumerate(values):
        callback.on_epoch_end(epoch, {"x": value})
        if callback.model.stop_training:
            return epoch + 1
    return None


@given(
    counts=st.lists(st.integers(0, 20), max_size=30),
    patience=st.integers(1, 6),
    min_delta=st.sampled_from([0.0, 0.001, 0.06, 0.12]),  # no rise is just that: Keras would round
)
def test_staleness_stops_a_run_where_keras_early_stopping_would(counts, patience, min_delta):
    """The write-up's run used that callback; accuracies are shares of 20 images here."""
    values = [count / 20 for count in counts]
    for monitor, mode in (("accuracy", "max"), ("loss", "min")):
        history = replace(rows(*((value, value) for value in values)), monitor=monitor)
        ours = next(
            (e for e in range(1, len(history) + 1) if history.upto(e).stale(min_delta) >= patience),
            None,
        )
        theirs = keras_stops_after(values, patience=patience, min_delta=min_delta, mode=mode)
        assert ours == theirs


def test_many_small_rises_count_once_they_add_up_to_min_delta():
    """The reference is the accuracy at the last rise, not that of the epoch before."""
    accuracies = [0.50, 0.54, 0.58, 0.62, 0.66]
    counts = [rows(*((a, 1.0) for a in accuracies[:n])).stale(0.1) for n in range(1, 6)]
    assert counts == [0, 1, 2, 0, 1]


numbers = st.floats(allow_nan=False)
rates = st.none() | numbers
measured = st.none() | st.floats(0, 1e300)
numbered = st.sets(st.integers(1, 10**6), max_size=5).map(sorted)


def epochs(numbers_of_epochs: list[int]) -> st.SearchStrategy[tuple[Epoch, ...]]:
    """Rows with these numbers and any figures."""
    each = (st.just(number) for number in numbers_of_epochs)
    return st.tuples(
        *(st.builds(Epoch, n, *[numbers] * 4, rates, measured, measured) for n in each)
    )


@given(numbered.flatmap(epochs).map(History))
def test_a_history_comes_back_from_its_csv_with_every_bit(history):
    """A resumed run decides by these numbers, so none may be rounded."""
    assert repr(History.from_csv(history.to_csv())) == repr(history)  # tells -0.0 from 0.0


def test_nan_and_infinity_pass_through_csv():
    """A diverged epoch is still a row."""
    read = History.from_csv(rows((NAN, INF)).to_csv()).epochs[0]
    assert (math.isnan(read.val_accuracy), read.val_loss) == (True, INF)


def test_the_csv_has_one_named_column_a_field():
    """Other programs read this file by its header."""
    assert rows((0.5, 0.25)).to_csv() == (
        "epoch,loss,accuracy,val_loss,val_accuracy,learning_rate,seconds,images_per_second\n"
        "1,1.0,0.5,0.25,0.5,0.0001,2.0,10.0\n"
    )


HEAD = "epoch,loss,accuracy,val_loss,val_accuracy"


def test_a_column_of_another_version_is_kept_and_written_back():
    """Its text as it was, beside epochs that this version adds without it."""
    text = f'{",".join(USUAL)},macro_f1,note\n1,1.0,0.5,0.25,0.5,0.0001,2.0,10.0,0.50,"a,b"\n'
    history = History.from_csv(text)
    (row,) = history
    assert row.unknown == (("macro_f1", "0.50"), ("note", "a,b"))
    assert history.to_csv() == text
    longer = history.append(replace(row, epoch=2, unknown=()))
    assert longer.to_csv() == text + "2,1.0,0.5,0.25,0.5,0.0001,2.0,10.0,,\n"
    assert History.from_csv(longer.to_csv()) == longer


def test_a_column_that_another_version_did_not_write_is_none():
    """It stays away when the file is written again, until an epoch has the figure."""
    text = f"{HEAD},seconds\n1,1.0,0.5,0.25,0.5,2.0\n2,1.0,0.5,0.25,0.5,\n"
    history = History.from_csv(text)
    first, second = history
    assert first == Epoch(1, 1.0, 0.5, 0.25, 0.5, None, 2.0, None)
    assert (second.seconds, history.seconds, history.images_per_second) == (None, 2.0, None)
    assert history.to_csv() == text
    longer = history.append(replace(second, epoch=3, learning_rate=0.1))
    assert longer.to_csv() == (
        f"{HEAD},learning_rate,seconds\n"
        "1,1.0,0.5,0.25,0.5,,2.0\n2,1.0,0.5,0.25,0.5,,\n3,1.0,0.5,0.25,0.5,0.1,\n"
    )


def test_columns_are_known_by_name_not_by_place():
    """Another version may order them otherwise."""
    (row,) = History.from_csv("val_accuracy,epoch,loss,accuracy,val_loss\n0.5,1,2,0.25,4\n")
    assert row == Epoch(1, 2.0, 0.25, 4.0, 0.5)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", f"expected the columns {HEAD}, each once"),
        ("1,1.0,0.5,0.25,0.5\n", f"expected the columns {HEAD}, each once"),
        ("epoch,loss\n1,2.0\n", f"expected the columns {HEAD}, each once"),
        (f"{HEAD},loss\n", f"expected the columns {HEAD}, each once"),
        (f"{HEAD}\n1,2.0\n", "row 1 has 2 of 5 values"),
        (f"{HEAD}\n1,2.0,0.5,0.25,0.5,9\n", "row 1 has 6 of 5 values"),
        (f"{HEAD}\n1,2.0,0.5,0.25,0.5\n2,x,0.5,0.25,0.5\n", "row 2: loss is 'x', not a number"),
        (f"{HEAD}\n1,2.0,0.5,,0.5\n", "row 1: val_loss is '', not a number"),
        (f"{HEAD}\n1.5,2.0,0.5,0.25,0.5\n", "row 1: epoch is '1.5', not a whole number"),
        (f"{HEAD},seconds\n1,2.0,0.5,0.25,0.5,?\n", "row 1: seconds is '?', not a number"),
        (
            f"{HEAD},seconds\n1,1,1,1,1,inf\n",
            "row 1: seconds is 'inf', which cannot be measured",
        ),
        (
            f"{HEAD},images_per_second\n1,1,1,1,1,-1\n",
            "row 1: images_per_second is '-1', which cannot be measured",
        ),
        (f"{HEAD}\n2,1,1,1,1\n1,1,1,1,1\n", "epoch 1 comes after epoch 2"),
        (f"{HEAD}\n1,1,1,1,1\n1,1,1,1,1\n", "epoch 1 comes after epoch 1"),
    ],
)
def test_a_damaged_csv_is_refused(text, fault):
    """A table that was cut or edited must not be taken for a history."""
    with pytest.raises(ValueError, match=r".") as caught:
        History.from_csv(text)
    assert str(caught.value) == fault


def test_upto_is_the_history_as_it_was_then():
    """A resume drops rows that are newer than the checkpoint."""
    history = rows((0.5, 1.0), (0.6, 1.0), (0.7, 1.0))
    assert history.upto(2) == History(history.epochs[:2])
    assert (history.upto(0), history.upto(9)) == (History(), history)


def test_append_leaves_the_old_history_as_it_was():
    """Histories are values."""
    old, row = rows((0.5, 1.0)), rows((0.5, 1.0), (0.6, 1.0)).epochs[1]
    assert old.append(row) == rows((0.5, 1.0), (0.6, 1.0))
    assert (len(old), old.seconds, old.append(row).seconds) == (1, 2.0, 4.0)


def test_the_speed_of_a_run_is_that_of_all_its_images():
    """As many images at 10 and at 30 a second take as long as all of them at 15."""
    first, second = rows((0.5, 1.0), (0.6, 1.0))
    both = replace(first, images_per_second=10.0), replace(second, images_per_second=30.0)
    assert History(both).images_per_second == pytest.approx(15)
    assert History().images_per_second is None
