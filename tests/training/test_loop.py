"""The order of operations of a run, with steps that only count: nothing is compiled here."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

import jax.numpy as jnp
import numpy as np
import pytest

from kvgg_jax.core.errors import NonFiniteLoss, Stopped
from kvgg_jax.core.events import EpochEnded, Event, Progress
from kvgg_jax.core.history import Epoch, EpochProgress, History, Metrics
from kvgg_jax.core.state import Batch, Tally, TrainState
from kvgg_jax.core.tables.train import TrainConfig
from kvgg_jax.training.loop import Limit, LoopInputs, RunProgress, evaluate, run_epochs

WEIGHTS = [np.float32([1, 1, 1, 1]), np.float32([1, 1, 0, 0])]  # 6 images in batches of 4


class Batches:
    """Two batches of four, the second half empty; its labels tell the epoch."""

    steps = 2

    def epoch(self, epoch: int, *, start: int = 0) -> Iterator[Batch]:
        for weight in WEIGHTS[start:]:
            yield Batch(np.zeros((4, 1, 1, 3), np.uint8), np.full(4, epoch, np.int32), weight)


@dataclass
class Fake:
    """Steps with the losses and validation accuracies that a test asks for, and a log of calls."""

    right: list[int]
    """Right answers of the 6 validation images, epoch by epoch."""
    nan_at: int | None = None
    """The step of the run, from 1, at which the loss becomes NaN."""
    log: list[object] = field(default_factory=list)
    ticks: int = 0
    kept: RunProgress = field(init=False)
    """What was given to be kept last."""

    def __post_init__(self) -> None:
        self.kept = start()

    def train_step(self, state: TrainState, tally: Tally, batch: Batch) -> tuple[TrainState, Tally]:
        step = int(state.step) + 1
        self.log.append(("train", step))
        loss = math.nan if step == self.nan_at else 12.0 / step
        count = float(np.sum(batch.weight))
        now = Tally(jnp.float32(loss), jnp.float32(count / 2), jnp.float32(count))
        new = TrainState(np.int32(step), {"w": np.int32(batch.labels[0])}, {}, {})
        return new, Tally(*(a + b for a, b in zip(tally, now, strict=True)))

    def eval_step(self, params: dict, model_state: dict, batch: Batch) -> tuple[Tally, np.ndarray]:
        epoch = int(params["w"])
        self.log.append(("validate", epoch))
        count = float(np.sum(batch.weight))
        right = self.right[epoch - 1] if count == 4 else 0  # all in the first batch
        tally = Tally(jnp.float32(count), jnp.float32(right), jnp.float32(count))
        return tally, np.eye(4, 2, dtype=np.float32)

    def clock(self) -> float:
        self.ticks += 1
        return 10.0 * self.ticks

    def save(self, state: TrainState, partial: EpochProgress) -> None:
        self.log.append(("save", int(state.step), partial.steps))
        self.kept = RunProgress(state, self.kept.history, partial)

    def wait(self) -> None:
        self.log.append(("wait",))

    def record(self, state: TrainState, history: History) -> None:
        self.log.append(("record", int(state.step), len(history)))
        self.kept = RunProgress(state, history)

    def emit(self, event: Event) -> None:
        if isinstance(event, EpochEnded):
            self.log.append(("ended", event.row.epoch, event.epochs, event.is_best))

    @property
    def inputs(self) -> LoopInputs:
        return LoopInputs(
            self.train_step,
            self.eval_step,
            Batches(),
            Batches(),
            learning_rate=lambda step: 0.1 / (step + 1),
            clock=self.clock,
        )


def start() -> RunProgress:
    return RunProgress(TrainState(np.int32(0), {"w": np.int32(0)}, {}, {}), History())


def run(fake: Fake, **config: object) -> tuple[History, str]:
    return run_epochs(fake.inputs, TrainConfig(**config), start(), recorder=fake, emit=fake.emit)


def test_an_epoch_is_trained_then_saved_then_validated_then_recorded_then_announced():
    """Saved while validation runs, which is waited for, and on record before anyone hears of it."""
    fake = Fake([3, 2])
    _, reason = run(fake, epochs=2)
    assert fake.log == [
        *(("train", 1), ("train", 2), ("save", 2, 2), ("validate", 1), ("validate", 1)),
        *(("wait",), ("record", 2, 1), ("ended", 1, 2, True)),
        *(("train", 3), ("train", 4), ("save", 4, 2), ("validate", 2), ("validate", 2)),
        *(("wait",), ("record", 4, 2), ("ended", 2, 2, False)),
    ]
    assert reason == "all 2 epochs are done"


def test_a_row_of_the_history_is_made_of_the_tallies_and_the_clock():
    """Sums over 6 images become means; the clock is read at start, after training, at the end."""
    history, _ = run(Fake([3]), epochs=1)
    assert history == History(
        (
            Epoch(
                epoch=1,
                loss=(12 + 6) / 6,
                accuracy=0.5,
                val_loss=1.0,
                val_accuracy=0.5,
                learning_rate=0.1 / 2,  # of step 2, after 1 was taken
                seconds=20.0,
                images_per_second=6 / 10,
            ),
        )
    )


def test_progress_counts_every_batch_of_both_halves():
    """Each step reports its place in the epoch and how many images it handled."""
    seen: list[Event] = []
    fake = Fake([3])
    run_epochs(fake.inputs, TrainConfig(epochs=1), start(), recorder=fake, emit=seen.append)
    assert [event for event in seen if isinstance(event, Progress)] == [
        Progress("training", 0, 2, 4, 1),
        Progress("training", 1, 2, 4, 1),
        Progress("training", 2, 2, 4, 1),
        Progress("validating", 1, 2, 4, 1),
        Progress("validating", 2, 2, 4, 1),
    ]


def test_a_run_stops_after_patience_epochs_without_a_rise():
    """Best at epoch 2; patience 2 ends the run after epoch 4, with the reason in words."""
    fake = Fake([2, 3, 3, 1, 4, 4])
    history, reason = run(fake, epochs=6, patience=2, min_delta=0.001)
    assert len(history) == 4
    assert reason == "validation accuracy has not risen by more than 0.001 for 2 epochs"


def test_what_the_history_monitors_ends_a_run_and_is_announced():
    """The losses fall while the accuracies stand still; the probabilities give the third figure."""
    for monitor, reason in (
        ("loss", "validation loss has not fallen by more than 0.001 for 1 epochs"),
        ("macro_f1", "validation macro F1 has not risen by more than 0.001 for 1 epochs"),
    ):
        fake, seen = Fake([3, 3, 3]), list[Event]()
        inputs = replace(fake.inputs, measure=lambda _: {"val_macro_f1": 0.5})
        progress = RunProgress(start().state, History(monitor=monitor))
        config = TrainConfig(epochs=3, patience=1)
        history, why = run_epochs(inputs, config, progress, recorder=fake, emit=seen.append)
        assert (why, len(history), history.monitor) == (reason, 2, monitor)
        assert [row.val_macro_f1 for row in history] == [0.5, 0.5]
        ended = [event for event in seen if isinstance(event, EpochEnded)]
        assert [event.monitor for event in ended] == [monitor] * 2


def test_patience_that_runs_out_with_the_last_epoch_changes_no_reason():
    """All epochs were done, so that is why it ended."""
    _, reason = run(Fake([3, 3, 3]), epochs=3, patience=2)
    assert reason == "all 3 epochs are done"


@pytest.mark.parametrize(
    ("nan_at", "epoch", "within", "rate"),
    [(1, 1, 1, "0.1"), (3, 2, 1, "0.0333"), (4, 2, 2, "0.025")],
)
def test_a_loss_that_is_not_finite_stops_the_run_and_says_where(nan_at, epoch, within, rate):
    """The epoch is neither validated nor saved: the checkpoints before it stay the last ones."""
    fake = Fake([3, 3, 3], nan_at=nan_at)
    with pytest.raises(NonFiniteLoss) as caught:
        run(fake, epochs=3)
    assert str(caught.value) == (
        f"The loss became nan in epoch {epoch}, step {within} of 2 (step {nan_at} of the run), "
        f"at learning rate {rate}. Try a lower `optim.lr`, `model.batch_norm = true`, or "
        "`train.precision = float32`; the checkpoints before it are untouched."
    )
    assert [entry for entry in fake.log if entry[0] == "save"] == [
        ("save", 2 * done, 2) for done in range(1, epoch)
    ]


@pytest.mark.parametrize("cut", [1, 2, 3])
def test_a_run_continued_from_a_history_equals_one_uninterrupted(cut):
    """Patience counts across the cut: both stop after epoch 4, with equal rows and reason."""
    right, config = [2, 3, 3, 1, 4, 4], {"patience": 2}
    whole = run(Fake(right), epochs=6, **config)
    first, _ = run(Fake(right), epochs=cut, **config)
    state = TrainState(np.int32(2 * cut), {"w": np.int32(cut)}, {}, {})
    rest, progress = Fake(right), RunProgress(state, first)
    continued = run_epochs(rest.inputs, TrainConfig(epochs=6, **config), progress, recorder=rest)
    assert continued == whole
    assert rest.log[0] == ("train", 2 * cut + 1)


def test_a_run_whose_patience_is_spent_does_not_train_again():
    """Resuming it takes no step."""
    right = [3, 3, 3]
    history, reason = run(Fake(right), epochs=9, patience=2)
    again = Fake(right)
    progress = RunProgress(start().state, history)
    result = run_epochs(again.inputs, TrainConfig(epochs=9, patience=2), progress, recorder=again)
    assert result == (history, reason)
    assert again.log == []


def test_evaluate_gives_the_probabilities_of_real_images_only():
    """Fillers are dropped from the table as they are from the sums."""
    found, probabilities = evaluate(Fake([5]).eval_step, ({"w": np.int32(1)}, {}), Batches())
    assert found == Metrics(loss=1.0, accuracy=5 / 6, count=6)
    np.testing.assert_array_equal(probabilities, [[1, 0], [0, 1], [0, 0], [0, 0], [1, 0], [0, 1]])


# Saves within an epoch, and stopping


def timeless(history: History) -> list[Epoch]:
    return [replace(row, seconds=0.0, images_per_second=0.0) for row in history]


def test_a_state_is_saved_every_n_steps_of_an_epoch_and_at_its_end():
    """With the sums so far, and the time they took."""
    fake = Fake([3])
    run(fake, epochs=1, save_every_steps=1)
    assert [entry[:3] for entry in fake.log] == [
        *(("train", 1), ("save", 1, 1), ("train", 2), ("save", 2, 2)),
        *(("validate", 1), ("validate", 1), ("wait",), ("record", 2, 1), ("ended", 1, 1)),
    ]


class After(Limit):
    """Over with the question of that number."""

    def __init__(self, last: int) -> None:
        self.questions, self.last = 0, last
        self.heard: list[float] = []

    def is_over(self) -> bool:
        self.questions += 1
        return self.questions >= self.last

    def ended(self, seconds: float) -> None:
        self.heard.append(seconds)


def test_an_epoch_whose_time_is_over_is_validated_where_it_is_and_the_run_ends():
    """As many epochs as fit: `epochs` is what was planned. The state is saved as at any end."""
    fake = Fake([3, 2, 1])
    history, reason = run_epochs(
        fake.inputs,
        TrainConfig(epochs=1, time="1m30s"),
        start(),
        recorder=fake,
        limit=(limit := After(4)),
        emit=fake.emit,
    )
    assert reason == "the time of 1m30s is over"
    assert fake.log == [
        *(("train", 1), ("train", 2), ("save", 2, 2), ("validate", 1), ("validate", 1)),
        *(("wait",), ("record", 2, 1), ("ended", 1, 1, True)),
        *(("train", 3), ("save", 3, 1), ("validate", 2), ("validate", 2)),
        *(("wait",), ("record", 3, 2), ("ended", 2, 2, False)),
    ]
    assert history.epochs[1].learning_rate == 0.1 / 3
    assert limit.heard == [10.0, 10.0]  # between two readings of the clock


def test_a_run_has_an_epoch_even_where_its_time_is_over_at_once():
    """Of one step; a finished run without an epoch would have nothing to use."""
    fake = Fake([3])
    config = TrainConfig(time="1s")
    history, reason = run_epochs(fake.inputs, config, start(), recorder=fake, limit=After(0))
    assert (len(history), reason) == (1, "the time of 1s is over")
    assert fake.log == [
        *(("train", 1), ("save", 1, 1), ("validate", 1), ("validate", 1), ("wait",)),
        ("record", 1, 1),
    ]


def test_the_seconds_of_an_epoch_hold_its_save():
    """So the rows add up to the time of the run; the images per second are those of training."""

    class Slow(Fake):
        def wait(self) -> None:
            self.ticks += 3

    fake, limit = Slow([3, 2]), After(99)
    history, _ = run_epochs(fake.inputs, TrainConfig(epochs=2), start(), recorder=fake, limit=limit)
    found = [(row.seconds, row.images_per_second) for row in history]
    assert found == [(50.0, 0.6), (50.0, 0.6)]
    assert limit.heard == [40.0, 40.0]


def test_a_run_that_died_in_the_validation_of_its_last_epoch_trains_no_further():
    """The time is over at its resume too."""
    fake, rest = Fake([3, 2]), Fake([3, 2])
    config = TrainConfig(epochs=1, time="1m")
    with pytest.raises(Stopped) as caught:
        run_epochs(
            fake.inputs,
            config,
            start(),
            recorder=fake,
            limit=After(1),
            stop=lambda: fake.log[-1:] == [("validate", 1)],
        )
    assert str(caught.value) == "Stopped while validating epoch 1."
    history, reason = run_epochs(rest.inputs, config, fake.kept, recorder=rest, limit=After(1))
    assert (len(history), reason) == (1, "the time of 1m is over")
    assert rest.log == [("validate", 1), ("validate", 1), ("wait",), ("record", 1, 1)]


def stopped(fake: Fake, *, epochs: int, stop: Callable[[], bool]) -> str:
    """Train until `stop` returns True; the text of Stopped."""
    with pytest.raises(Stopped) as caught:
        run_epochs(fake.inputs, TrainConfig(epochs=epochs), start(), recorder=fake, stop=stop)
    return str(caught.value)


@pytest.mark.parametrize("asked", range(1, 15))
def test_a_run_that_was_stopped_and_resumed_equals_one_that_was_not(asked):
    """At whatever moment: what was kept is enough for the same rows and the same reason."""
    right = [2, 3, 3]
    whole, reason = run(Fake(right), epochs=3)
    fake, questions = Fake(right), iter(range(1, asked + 1))
    stopped(fake, epochs=3, stop=lambda: next(questions) == asked)
    steps = [entry for entry in fake.log if entry[0] == "train"]
    rest = Fake(right)
    again, why = run_epochs(rest.inputs, TrainConfig(epochs=3), fake.kept, recorder=rest)
    assert (timeless(again), why) == (timeless(whole), reason)
    more = [entry for entry in rest.log if entry[0] == "train"]
    assert [*steps, *more] == [("train", step) for step in range(1, 7)]  # no step is repeated


@pytest.mark.parametrize(
    ("asked", "text", "last"),
    [
        (1, "Stopped in epoch 1, after step 0 of 2.", None),
        (2, "Stopped in epoch 1, after step 1 of 2.", ("save", 1, 1)),
        (3, "Stopped in epoch 1, after step 2 of 2.", ("save", 2, 2)),
        (4, "Stopped while validating epoch 1.", ("validate", 1)),
        (6, "Stopped in epoch 2, after step 0 of 2.", ("record", 2, 1)),
    ],
)
def test_a_run_that_stops_reports_where_and_has_saved_it(asked, text, last):
    """Within the step: nothing more is trained or validated after the question."""
    fake, questions = Fake([3, 3]), iter(range(1, asked + 1))
    assert stopped(fake, epochs=2, stop=lambda: next(questions) == asked) == text
    assert (fake.log[-1] if fake.log else None) == last


def test_the_time_of_an_epoch_adds_up_over_its_starts():
    """10 s of training before the stop and 10 after it, then 10 of validation."""
    fake, questions = Fake([3]), iter((False, True))
    stopped(fake, epochs=1, stop=lambda: next(questions))
    assert fake.kept.partial.seconds == 10.0
    rest = Fake([3])
    history, _ = run_epochs(rest.inputs, TrainConfig(epochs=1), fake.kept, recorder=rest)
    (row,) = history
    assert (row.seconds, row.images_per_second) == (30.0, 6 / 20)


def test_a_state_that_diverged_is_not_saved_within_an_epoch_either():
    """The loss of the step is read before the save, not after."""
    fake = Fake([3], nan_at=1)
    with pytest.raises(NonFiniteLoss):
        run(fake, epochs=1, save_every_steps=1)
    assert fake.log == [("train", 1)]
