"""What is saved in which order, and what a resume finds of it."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kvgg_jax.core.errors import RunError
from kvgg_jax.core.events import Event, Note, Warned
from kvgg_jax.core.history import NOTHING_YET, Epoch, EpochProgress, History
from kvgg_jax.core.state import TrainState
from kvgg_jax.runs.folder import Run
from kvgg_jax.training.loop import RunProgress
from kvgg_jax.training.recorder import Recorder

STEPS = 4  # per epoch
SUMS = EpochProgress(STEPS, 1.5, 20.0, 29.0, 2.5)


def state(step: int) -> TrainState:
    return TrainState(np.int32(step), {"w": np.float32([step])}, {}, {})


def history(*accuracies: float) -> History:
    rows = [
        Epoch(n, 1.0, 0.5, 1.0, accuracy, 1e-3, 1.0, 1.0)
        for n, accuracy in enumerate(accuracies, 1)
    ]
    return History(tuple(rows))


class Checkpoints:
    """A `checkpoints` folder in memory, with a log of what was done."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "checkpoints"
        self.log: list[tuple[Any, ...]] = []
        self.last: tuple[TrainState, dict[str, float]] | None = None
        self.best: set[int] = set()

    def save_last(self, state: TrainState, notes: dict[str, float]) -> None:
        self.log.append(("last", int(state.step)))
        self.last = state, notes

    def save_best(self, state: TrainState, row: Epoch | None = None) -> None:
        self.log.append(("best", int(state.step)))

    def wait(self) -> None:
        self.log.append(("wait",))

    def load_last(self, like: TrainState) -> tuple[TrainState, dict[str, float]] | None:
        return self.last

    def has_best(self, step: int) -> bool:
        return step in self.best

    def drop_best_after(self, step: int) -> None:
        self.log.append(("drop", step))


class Desk:
    """A recorder of a run folder, and what it reported."""

    def __init__(self, folder: Path) -> None:
        self.run, self.checkpoints = Run(folder), Checkpoints(folder)
        self.heard: list[Event] = []
        self.recorder = Recorder(self.run, self.checkpoints, steps=STEPS, emit=self.heard.append)

    def restore(self, written: History, step: int, partial: EpochProgress = SUMS) -> RunProgress:
        """With this history, and a checkpoint of that step."""
        self.run.write("history.csv", written.to_csv())
        self.checkpoints.last = state(step), asdict(partial)
        return self.recorder.restore(state(0))


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_the_row_of_an_epoch_is_written_once_its_state_is_saved_and_before_the_best_weights(desk):
    """So each row has its state. Weights of an epoch that is not the best are not saved."""
    desk.recorder.save(state(STEPS), SUMS)
    desk.recorder.record(state(STEPS), history(0.5))
    assert desk.run.history() == history(0.5)
    desk.recorder.record(state(2 * STEPS), history(0.5, 0.4))
    assert desk.checkpoints.log == [("last", 4), ("wait",), ("best", 4), ("wait",)]
    assert desk.checkpoints.last[1] == asdict(SUMS)


def test_a_run_that_has_saved_nothing_starts_from_its_first_state(desk):
    first = state(0)
    assert desk.recorder.restore(first) == RunProgress(first, History())
    assert desk.heard == []


@pytest.mark.parametrize(
    ("step", "rows", "partial", "note"),
    [
        (4, (0.5,), NOTHING_YET, "Resuming in epoch 2, after step 0 of 4 (step 4 of the run)"),
        (6, (0.5,), SUMS, "Resuming in epoch 2, after step 2 of 4 (step 6 of the run)"),
        (8, (0.5,), SUMS, "Resuming with the validation of epoch 2"),
    ],
    ids=["after an epoch", "within an epoch", "before its validation"],
)
def test_a_run_is_resumed_where_its_last_checkpoint_is(desk, step, rows, partial, note):
    """With the sums of the epoch that has no row yet."""
    desk.checkpoints.best = {4}
    done = SUMS if step % STEPS == 0 else EpochProgress(2, 1.5, 20.0, 29.0, 2.5)
    progress = desk.restore(history(*rows), step, done)
    assert (int(progress.state.step), progress.history) == (step, history(*rows))
    assert progress.partial == (partial if partial is NOTHING_YET else done)
    assert desk.heard == [Note(note)]


def test_rows_that_the_last_checkpoint_does_not_know_are_removed(desk):
    """As where the newest checkpoint was damaged: these epochs are trained again."""
    desk.checkpoints.best = {4}
    assert desk.restore(history(0.5, 0.6, 0.7), 4).history == history(0.5)
    assert desk.run.history() == history(0.5)
    assert desk.checkpoints.log == [("drop", 4)]


def test_a_history_that_lacks_rows_is_an_error(desk):
    """To resume would number the epochs again, and shuffle and decay as if they were the first."""
    with pytest.raises(RunError) as caught:
        desk.restore(history(), 9)
    assert str(caught.value) == (
        f"{desk.run.path / 'history.csv'} has 0 of the 2 epochs that the last checkpoint knows. "
        "Restore the file, or start a new run."
    )


def test_a_history_without_a_checkpoint_is_an_error(desk):
    """The run is not silently started again."""
    desk.run.write("history.csv", history(0.5, 0.6).to_csv())
    with pytest.raises(RunError) as caught:
        desk.recorder.restore(state(0))
    assert str(caught.value) == (
        f"{desk.run.path / 'history.csv'} has 2 epochs, but {desk.checkpoints.folder / 'last'} has "
        "no checkpoint. Restore a copy of it, or start a new run."
    )


def test_best_weights_that_are_missing_are_saved_again_or_reported_lost(desk):
    """The last state has them when its epoch was the best."""
    desk.restore(history(0.5, 0.6), 8)
    assert (desk.checkpoints.log, len(desk.heard)) == ([("best", 8)], 1)
    desk.restore(history(0.7, 0.6), 8)
    assert desk.checkpoints.log == [("best", 8)]
    assert desk.heard[1] == Warned(
        "The weights of epoch 1, the best so far, are lost: "
        f"{desk.checkpoints.folder / 'best'} has no intact copy of them."
    )


def test_older_best_weights_that_are_intact_are_kept(desk):
    """Newer ones, of an epoch that is trained again after a damaged state, are removed."""
    desk.checkpoints.best = {4, 12}
    desk.restore(history(0.5, 0.4), 8)
    assert desk.checkpoints.log == [("drop", 8)]
    assert not any(isinstance(event, Warned) for event in desk.heard)
