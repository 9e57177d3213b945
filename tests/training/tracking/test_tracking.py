"""What trackers get, and what happens when they fail."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from kvgg_jax.core import extras
from kvgg_jax.core.config import RunConfig
from kvgg_jax.core.errors import MissingExtra, RunError, Stopped
from kvgg_jax.core.events import EpochEnded, Event, Note, Warned
from kvgg_jax.core.history import Epoch
from kvgg_jax.runs.folder import Run
from kvgg_jax.training.tracking import tracking
from kvgg_jax.training.tracking.tracking import tracked
from kvgg_jax.training.trainer import resume, train
from support.commands import kvgg
from support.runs import draw_photos, small_config

pytestmark = pytest.mark.usefixtures("thin_network", "blank")


class Notebook:
    """A tracker that writes down what it hears."""

    where = "Notebook: in memory"

    def __init__(self, run: Run, config: RunConfig) -> None:
        self.heard: list[tuple[Epoch, float]] = []
        self.end: bool | None = None

    def add(self, row: Epoch, moment: float) -> None:
        self.heard.append((row, moment))

    def close(self, *, finished: bool) -> None:
        self.end = finished


@pytest.fixture
def notebooks(monkeypatch) -> list[Notebook]:
    """What `--track tensorboard` opened, one for each start of a run."""
    opened: list[Notebook] = []

    def open_one(run: Run, config: RunConfig) -> Notebook:
        opened.append(Notebook(run, config))
        return opened[-1]

    monkeypatch.setitem(tracking.TRACKERS, "tensorboard", open_one)
    monkeypatch.setitem(extras.EXTRAS, "tensorboard", ())
    return opened


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Run:
    """A run of one epoch, to be changed."""
    return Run(shutil.copytree(finished, tmp_path / "run"))


def with_tracker(run: Run) -> RunConfig:
    return run.config().with_train(track=("tensorboard",))


def second(run: Run) -> Epoch:
    return replace(run.history().epochs[0], epoch=2, seconds=5.0)


def test_each_start_gives_a_tracker_every_epoch_at_the_same_moments(notebooks, tmp_path):
    """A run that was cut and resumed shows what one that was never cut shows."""
    photos, heard = draw_photos(tmp_path / "photos", per_class=4), list[Event]()
    config = small_config(photos, train={"track": ["tensorboard"]})

    def stop() -> bool:
        return any(isinstance(event, EpochEnded) for event in heard)

    with pytest.raises(Stopped):
        train(config, out=tmp_path, name="cut", stop=stop, emit=heard.append)
    assert Note("Notebook: in memory") in heard
    history = resume(tmp_path / "cut").history
    first, last = notebooks
    assert [row for row, _ in last.heard] == list(history)
    assert last.heard[:1] == first.heard
    assert last.heard[1][1] - last.heard[0][1] == pytest.approx(history.epochs[1].seconds)
    assert (first.end, last.end) == (False, True)


def test_a_tracker_that_fails_is_dropped_with_a_warning_and_training_continues(
    notebooks, run, monkeypatch
):
    """It observes: what it cannot show is in the run folder all the same."""
    history, heard = run.history(), list[Event]()
    with tracked(run, with_tracker(run), history, heard.append) as tell:
        monkeypatch.setattr(notebooks[0], "heard", None)
        tell(EpochEnded(second(run), 3, is_best=False))
        tell(EpochEnded(replace(second(run), epoch=3), 3, is_best=False))
    warned = [event.text for event in heard if isinstance(event, Warned)]
    assert warned == [
        "tensorboard failed at epoch 2 and gets no more: 'NoneType' object has no attribute "
        f"'append'. Training continues; {run.path / 'history.csv'} has every epoch."
    ]
    assert [event.row.epoch for event in heard if isinstance(event, EpochEnded)] == [2, 3]
    assert notebooks[0].end is None


def test_a_tracker_that_cannot_be_opened_is_an_error_before_the_first_step(
    notebooks, run, monkeypatch
):
    """The message has the command that resumes without it."""

    def refuse(run: Run, config: RunConfig) -> Notebook:
        raise ConnectionError("nobody answers")

    monkeypatch.setitem(tracking.TRACKERS, "mlflow", refuse)
    config = run.config().with_train(track=("tensorboard", "mlflow"))
    with pytest.raises(RunError) as caught, tracked(run, config, run.history(), print):
        pytest.fail("the loop must not begin")
    assert str(caught.value) == (
        f"{run.path} cannot be tracked with mlflow: nobody answers. Fix that, or resume without "
        f"it: kvgg train --resume {run.path} --track none"
    )
    assert notebooks[0].end is False


def test_a_tracker_that_fails_as_it_is_closed_is_a_warning(notebooks, run, monkeypatch):
    """What it has not written by then may be lost there."""
    heard: list[Event] = []
    with tracked(run, with_tracker(run), run.history(), heard.append):
        monkeypatch.setattr(notebooks[0], "close", None)
    assert [event.text for event in heard if isinstance(event, Warned)] == [
        "tensorboard failed as it was closed: 'NoneType' object is not callable."
    ]


def test_a_tracker_that_is_not_installed_is_an_error_before_any_work(tmp_path, monkeypatch):
    """Neither a run nor its photos are looked at."""
    monkeypatch.setitem(extras.EXTRAS, "wandb", ("pip-of-no-kind",))
    config = small_config(tmp_path / "nowhere", train={"track": ["wandb"]})
    with pytest.raises(MissingExtra, match=r'Add it: pip install "kvgg_jax\[wandb\]"$'):
        train(config, out=tmp_path / "runs")
    assert list(tmp_path.iterdir()) == []


def test_a_resume_may_change_where_a_run_is_tracked(notebooks, run):
    """It changes no step; `none` ends it."""
    for asked, expected in (("tensorboard", ("tensorboard",)), ("none", ())):
        epochs = str(len(run.history()) + 1)
        result = kvgg("train", "--resume", run.path, "--epochs", epochs, "--track", asked)
        assert result.exit_code == 0, result.output
        assert run.config().train.track == expected
    assert [len(notebook.heard) for notebook in notebooks] == [2]


def test_an_unknown_tracker_is_a_usage_error():
    """With those there are."""
    result = kvgg("train", "--track", "tensorboard,sacred")
    assert (result.exit_code, result.stderr) == (
        2,
        "Error: --track tensorboard,sacred: input should be 'tensorboard', 'mlflow' or 'wandb'.\n",
    )
