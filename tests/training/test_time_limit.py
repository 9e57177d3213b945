"""How much training fits into a time, and when the time is over. No test waits for a clock.

Whole runs with a time are in `integration/test_timed_runs.py`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kvgg_jax.core.config import RunConfig
from kvgg_jax.core.errors import ConfigError, Stopped
from kvgg_jax.core.events import Event, Note, Progress, Warned
from kvgg_jax.core.history import Epoch, EpochProgress, History
from kvgg_jax.core.state import Batch, Tally, TrainState
from kvgg_jax.runs.folder import Run
from kvgg_jax.training import time_limit
from kvgg_jax.training.loop import LoopInputs, RunProgress
from kvgg_jax.training.time_limit import Plan, TimeLimit, plan_run, plan_time, planned

PLAN = Plan(epochs=3, steps=25, step_seconds=2.0, validation_seconds=4.0, save_seconds=1.0)


def lasting(time: str, **tables: Any) -> RunConfig:
    return RunConfig(train={"time": time}, **tables)


@pytest.mark.parametrize(
    ("time", "epochs", "steps"),
    [
        ("1s", 1, 1),  # nothing fits, one step is done
        ("7s", 1, 1),
        ("25s", 1, 10),  # an epoch has 10 steps of 2 s, a validation of 4 s and a save of 1 s
        ("31s", 1, 10),  # no step and the end of its epoch are left over
        ("32s", 2, 11),
        ("1m15s", 3, 30),
        ("2h", 288, 2880),
    ],
)
def test_as_many_steps_fit_as_leave_time_for_each_validation_and_save(
    time: str, epochs: int, steps: int
) -> None:
    """The last epoch is cut, or there is none after the last whole one."""
    found = plan_time(lasting(time), 2.0, 4.0, 1.0, per_epoch=10)
    assert found == Plan(epochs, steps, 2.0, 4.0, 1.0)


def test_a_time_in_which_the_warm_up_does_not_fit_is_refused() -> None:
    """With what fits."""
    with pytest.raises(ConfigError) as caught:
        plan_time(lasting("1m", optim={"warmup_steps": 22}), 2.0, 4.0, 1.0, per_epoch=10)
    assert str(caught.value) == (
        "`optim.warmup_steps = 22`: 22 steps fit into `train.time = 1m`. Choose fewer, such as 2, "
        "or a longer time."
    )


def test_a_plan_decides_how_many_epochs_and_steps_a_run_has() -> None:
    """An epoch that solves the head is one more, without a step of the optimizer."""
    config = lasting("1m")
    assert planned(config, None) == (config, None)
    assert planned(config, PLAN) == (config.with_train(epochs=3), 25)
    solved = lasting("1m", model={"head": "linear", "weights": "x"})
    assert planned(solved, PLAN)[0].train.epochs == 4


def test_the_time_is_over_when_a_step_and_the_end_of_its_epoch_no_longer_fit() -> None:
    """What earlier starts have taken is spent; 9 s are kept for two steps, validation and save."""
    now = 1000.0
    row = Epoch(1, 1.0, 0.5, 1.0, 0.5, seconds=20.0)
    partial = EpochProgress(3, 1.0, 1.0, 8.0, seconds=6.0)
    progress = RunProgress(TrainState(np.int32(3), {}, {}, {}), History((row,)), partial)
    limit = TimeLimit(PLAN, lasting("1m"), progress, lambda: now)
    found = []
    for now in (1000.0, 1025.0, 1025.5):  # noqa: B007  # the limit reads it
        found.append(limit.is_over())
    assert found == [False, False, True]
    now = 1020.0
    for seconds, expected in ((4.0, False), (11.0, True), (4.0, True)):  # the longest one counts
        limit.ended(seconds)
        assert limit.is_over() is expected


class Batches:
    """Three batches of four, some of which a plan measures."""

    steps = 3

    def epoch(self, epoch: int, *, start: int = 0) -> Iterator[Batch]:
        for _ in range(start, self.steps):
            yield Batch(np.zeros((4, 1, 1, 3), np.uint8), np.zeros(4, np.int32), np.ones(4))


class Fake:
    """Steps that take 2 s each, batches of a validation 0.5 s, saves 1 s, the first ones more."""

    def __init__(self) -> None:
        self.now, self.steps, self.evaluated, self.saved = 0.0, 0, 0, 0
        self.state = TrainState(np.int32(0), {}, {}, {})

    def train_step(self, state: TrainState, tally: Tally, batch: Batch) -> Any:
        self.now += 2.0 if self.steps else 60.0
        self.steps += 1
        return state, tally

    def eval_step(self, params: dict, model_state: dict, batch: Batch) -> Any:
        self.now += 0.5 if self.evaluated else 30.0
        self.evaluated += 1
        return Tally(np.float32(1), np.float32(1), np.float32(4)), np.ones((4, 2), np.float32)

    def open(self, folder: Path, *, run: Run) -> Any:
        """What takes the place of `Checkpoints`."""
        folder.mkdir()
        return nullcontext(self)

    def save_last(self, state: TrainState) -> None:
        self.saved += 1

    def wait(self) -> None:
        self.now += 1.0 if self.saved > 1 else 7.0

    def assemble(self, state: TrainState, emit: Any) -> LoopInputs:
        return LoopInputs(
            self.train_step, self.eval_step, Batches(), Batches(), lambda step: 0.1,
            clock=lambda: self.now,
        )  # fmt: skip


def test_a_plan_is_measured_once_and_kept_in_the_run(tmp_path: Path, monkeypatch: Any) -> None:
    """Without the first step, batch and save, which take longer; a resume finds it there."""
    fake, run, heard = Fake(), Run(tmp_path), list[Event]()
    run.write("run.json", json.dumps({"id": "x"}))
    built: list[Any] = []
    monkeypatch.setattr(time_limit, "Checkpoints", fake.open)

    def build(config: RunConfig, steps: int | None, emit: Any) -> Any:
        built.append(steps)
        emit(Note("not said twice"))
        return fake

    def plan(stop: Any = lambda: False) -> Plan | None:
        return plan_run(run, lasting("30s"), build, stop=stop, emit=heard.append)

    with pytest.raises(Stopped) as caught:
        plan(stop=lambda: True)
    assert str(caught.value) == "Stopped before the first step."
    assert "plan" not in run.info()
    fake.__init__()
    heard.clear()
    found = plan()
    assert found == Plan(4, 10, step_seconds=2.0, validation_seconds=1.5, save_seconds=1.0)
    assert [path.name for path in tmp_path.iterdir()] == ["run.json"]  # the saves are gone
    assert [event for event in heard if isinstance(event, Progress)] == [
        Progress("measuring", done, 6, 4) for done in range(1, 7)
    ]
    assert heard[-1] == Note(
        "Planned for 30s: 10 steps of 2 s in 4 epochs, each with a validation of 1.5 s and a save "
        "of 1 s"
    )
    assert (plan(), built, len(heard)) == (found, [1, 1], 7)
    assert plan_run(run, RunConfig(), build, stop=lambda: False, emit=heard.append) is None


def test_a_time_that_is_too_short_for_a_step_is_said(tmp_path: Path, monkeypatch: Any) -> None:
    """The run has that step nevertheless, so that it has an epoch."""
    fake, run, heard = Fake(), Run(tmp_path), list[Event]()
    run.write("run.json", json.dumps({"id": "x"}))
    monkeypatch.setattr(time_limit, "Checkpoints", fake.open)
    fake.steps = fake.evaluated = fake.saved = 1
    found = plan_run(run, lasting("4s"), lambda *_: fake, stop=lambda: False, emit=heard.append)
    assert found == Plan(1, 1, 2.0, 1.5, 1.0)
    assert heard[-2:] == [
        Warned(
            "`train.time = 4s` is too short for a step and what ends an epoch: the run has one "
            "step and takes longer."
        ),
        Note(
            "Planned for 4s: 1 step of 2 s in 1 epoch, each with a validation of 1.5 s and a save "
            "of 1 s"
        ),
    ]
