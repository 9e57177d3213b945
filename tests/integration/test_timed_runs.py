"""Runs that end with their time, `--time`. No test waits for a clock."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from kvgg_jax.core.config import RunConfig
from kvgg_jax.core.errors import RunError, Stopped, UsageError
from kvgg_jax.core.events import Event, Note
from kvgg_jax.core.history import Epoch
from kvgg_jax.evaluation.evaluate import evaluate
from kvgg_jax.runs.folder import Run
from kvgg_jax.runs.listing import list_runs
from kvgg_jax.training import time_limit, trainer
from kvgg_jax.training.inputs import complete_config
from kvgg_jax.training.loop import Limit
from kvgg_jax.training.trainer import resume, train
from support.runs import small_config

pytestmark = pytest.mark.usefixtures("thin_network", "blank")


def test_epochs_beside_a_time_are_said_to_be_unused(photos, tmp_path, monkeypatch):
    """Once, and only where they were given; the shortest time gives a run that can be used."""
    monkeypatch.setattr(time_limit, "_measure", lambda *_, **__: (5.0, 5.0, 5.0))
    heard: list[Event] = []
    config = RunConfig(
        data={"dir": str(photos), "image_size": 32},
        model={"arch": "vgg11", "head": "gap"},
        train={"time": "1s", "epochs": 3, "batch_size": 8},
    )
    result = train(config, out=tmp_path, name="short", emit=heard.append)
    text = "`train.epochs = 3` is not used: `train.time` decides"
    assert heard.count(Note(text)) == 1
    assert (len(result.history), result.reason) == (1, "the time of 1s is over")
    assert evaluate(result.run).accuracy == result.history.best.val_accuracy
    heard.clear()
    complete_config(RunConfig(data={"dir": str(photos)}, train={"time": "1s"}), heard.append)
    assert not [event for event in heard if "epochs" in str(event)]


def test_a_run_ends_with_its_time_saved_and_evaluated(photos, tmp_path, monkeypatch):
    """The last epoch is cut, the cosine is as long as the plan, a resume goes on with both."""
    asked: list[int] = []

    def after(last: int) -> None:
        """The time is over with the question of that number; 4 steps are an epoch."""
        asked.clear()

        class Counted(Limit):
            def is_over(self) -> bool:
                asked.append(1)
                return len(asked) >= last

        monkeypatch.setattr(trainer, "TimeLimit", lambda *_: Counted())

    config = small_config(photos, train={"time": "1h"}, optim={"schedule": "cosine", "lr": 0.01})
    monkeypatch.setattr(time_limit, "_measure", lambda *_, **__: (300.0, 100.0, 50.0))
    after(7)  # after each step, and before each epoch but the first: after step 2 of the second
    whole = train(config, out=tmp_path, name="whole")
    run = Run(whole.run)
    assert run.info()["plan"] == {
        "epochs": 3,
        "steps": 10,
        "step_seconds": 300.0,
        "validation_seconds": 100.0,
        "save_seconds": 50.0,
    }
    assert whole.reason == "the time of 1h is over"
    assert [row.epoch for row in whole.history] == [1, 2]
    rates = [0.005 * (1 + math.cos(math.pi * step / 10)) for step in (3, 5)]
    assert [row.learning_rate for row in whole.history] == pytest.approx(rates, rel=1e-5)
    assert (run.info()["status"], run.config().train) == ("finished", config.train)
    (listed,) = (one for one in list_runs(tmp_path) if one.path == run.path)
    assert listed.to_json()["epochs_asked"] == 3
    best, evaluated = whole.history.best, evaluate(run.path)
    assert best.val_accuracy == evaluated.accuracy
    # the same, stopped in the second epoch and resumed
    questions = iter(range(20))
    after(99)
    with pytest.raises(Stopped):
        train(config, out=tmp_path, name="cut", stop=lambda: next(questions) == 7)
    monkeypatch.setattr(time_limit, "_measure", None)  # nothing is planned again
    after(2)
    rest = resume(tmp_path / "cut")
    assert [timeless(row) for row in rest.history] == [timeless(row) for row in whole.history]
    with pytest.raises(UsageError) as caught:
        resume(whole.run, epochs=9)
    assert str(caught.value) == (
        f"`train.epochs = 9` has no effect: {run.path} trains for `train.time = 1h`."
    )
    with pytest.raises(RunError) as finished:
        resume(whole.run)
    assert str(finished.value) == (
        f"{run.path} has finished: the time of 1h is over. To train longer, start a new run with a "
        "longer `train.time`."
    )


def timeless(row: Epoch) -> Epoch:
    return replace(row, seconds=None, images_per_second=None)
