"""`fit` with a network of one's own: cut, killed and called again, it is the run never cut."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
import pytest

from kvgg_jax.core.errors import (
    ConfigError,
    DataError,
    NonFiniteLoss,
    RunError,
    Stopped,
    UsageError,
)
from kvgg_jax.core.events import Compiled, EpochEnded, Event, Finished, Note, Started, Warned
from kvgg_jax.core.keras_gate import keras
from kvgg_jax.core.state import TrainState
from kvgg_jax.runs import catalog
from kvgg_jax.runs.folder import FIT, Run
from kvgg_jax.runs.lock import locked
from kvgg_jax.training.own.fit import FitResult, fit
from kvgg_jax.training.own.unnumbered import Unnumbered, UnnumberedCheckpoints
from kvgg_jax.training.step import init_state
from support.faults import timeless
from support.own import IMAGES, LABELS, STEPS, VAL, network, train, train_own
from support.runs import PATIENCE, ROOT

pytestmark = pytest.mark.usefixtures("blank")


class Whole(NamedTuple):
    """The run that nobody cut."""

    result: FitResult
    weights: list[np.ndarray]
    last: TrainState
    events: list[Event]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, blank: None) -> Whole:
    model, events = network(), list[Event]()
    result = train_own(tmp_path_factory.mktemp("own") / "whole", model, emit=events.append)
    return Whole(result, weights_of(model), last_state(result.folder), events)


@pytest.fixture
def folder(whole: Whole, tmp_path: Path) -> Path:
    """A copy of the finished run, to be changed."""
    return shutil.copytree(whole.result.folder, tmp_path / "copy")


def weights_of(model: keras.Model) -> list[np.ndarray]:
    return [np.array(variable.value) for variable in model.variables]


def last_state(folder: Path) -> TrainState:
    """All of the last saved state, by names that no other network of the process changes."""
    model, optimizer = (
        network(),
        keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(1, 1)),
    )
    optimizer.build(model.trainable_variables)
    names, like = Unnumbered(model, optimizer), init_state(model, optimizer)
    with UnnumberedCheckpoints(folder / "checkpoints", names=names, read_only=True) as checkpoints:
        found = checkpoints.load_last(like)
    assert found is not None
    return names.saved(found[0])


def stop_at(question: int) -> Callable[[], bool]:
    """A `stop` that says yes to this one of the questions, from 1."""
    asked = itertools.count(1)
    return lambda: next(asked) == question


def assert_is_the_whole_run(result: FitResult, model: keras.Model, whole: Whole) -> None:
    assert timeless(result.history) == timeless(whole.result.history)
    assert result.reason == "all 4 epochs are done"
    jax.tree.map(np.testing.assert_array_equal, weights_of(model), whole.weights)
    jax.tree.map(np.testing.assert_array_equal, last_state(result.folder), whole.last)


def test_a_run_stopped_in_mid_epoch_and_called_again_is_the_run_never_stopped(whole, tmp_path):
    """With a new network and optimizer, which Keras gives other names: not one bit differs."""
    first = network()
    before = weights_of(first)
    with pytest.raises(Stopped) as caught:
        # an epoch asks before it, after each of 3 steps, and after each of 2 validation batches
        train_own(tmp_path / "cut", first, stop=stop_at(6 + 2))
    assert str(caught.value) == f"Stopped in epoch 2, after step 1 of {STEPS}."
    jax.tree.map(np.testing.assert_array_equal, weights_of(first), before)
    second, heard = network(seed=1), list[Event]()
    second.layers[4].seed_generator.state.assign([7, 7])
    assert second.layers[0].name != first.layers[0].name
    result = train_own(tmp_path / "cut", second, emit=heard.append)
    assert_is_the_whole_run(result, second, whole)
    (note,) = (event for event in heard if isinstance(event, Note))
    assert note.text == f"Resuming in epoch 2, after step 1 of {STEPS} (step 4 of the run)"


KILLED = """
import os, signal, sys, time
from pathlib import Path
from kvgg_jax.core.events import Progress
from support.own import train_own

folder = Path(sys.argv[1])

def kill(event):
    if isinstance(event, Progress) and (event.stage, event.epoch, event.done) == ("training", 2, 2):
        while not (folder / "checkpoints/last/4").exists():
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGKILL)

train_own(folder, save_every_steps=1, emit=kill)
"""


@pytest.mark.faults  # it starts Python, Keras and TensorFlow anew
def test_a_run_killed_in_mid_epoch_and_called_again_is_the_run_never_killed(whole, tmp_path):
    """By SIGKILL, and ended by another process; it saved after each step."""
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path / "killed")],
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"},
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert not (tmp_path / "killed/checkpoints/last/6").exists()
    model = network(seed=1)
    assert_is_the_whole_run(train_own(tmp_path / "killed", model), model, whole)


def test_the_run_is_one_that_a_cut_could_harm(whole):
    """It learns, drops values, and draws another order in each epoch."""
    fresh = weights_of(network())
    for name, before, after in zip(network().variables, fresh, whole.weights, strict=True):
        assert (before != after).any(), name.path
    first, second = ([pair[1].numpy().tolist() for pair in train(epoch)] for epoch in (1, 2))
    assert first != second
    assert int(whole.last.step) == 4 * STEPS


def test_the_network_ends_with_the_weights_of_the_best_epoch(whole, tmp_path):
    """They give the accuracy that the history has for it."""
    model = network()
    train_own(whole.result.folder, model)
    logits = model(IMAGES[:10] / np.float32(255))
    best = whole.result.history.best
    assert best is not None
    assert np.mean(np.argmax(logits, axis=-1) == LABELS[:10]) == pytest.approx(best.val_accuracy)


def test_what_happens_is_told(whole):
    """Where, what was compiled, each epoch, and the end."""
    told = [event for event in whole.events if not hasattr(event, "stage")]
    assert [type(event) for event in told] == [
        *(Started, Compiled, Compiled),
        *[EpochEnded] * 4,
        Finished,
    ]
    assert [event.text for event in whole.events if isinstance(event, Warned)] == []


def test_the_folder_has_what_a_resume_needs_and_no_run(whole):
    """`fit.json` says what it was started with; `kvgg runs` does not see it."""
    folder = whole.result.folder
    assert sorted(path.name for path in folder.iterdir()) == [
        *("checkpoints", "curves.png", "fit.json", "history.csv")
    ]
    info = Run(folder, FIT).info()
    assert (info["status"], info["reason"]) == ("finished", "all 4 epochs are done")
    assert Run(folder).history() == whole.result.history
    assert info["settings"]["train.inputs"] == "uint8 [8, 8, 8, 3]"
    assert info["settings"]["loss"] == "kvgg_jax.training.losses.cross_entropy"
    assert info["settings"]["optimizer.learning_rate"]["config"]["decay_steps"] == 5
    assert catalog.ordered(folder.parent) == []


def test_a_finished_run_gives_its_history_at_once(whole, folder):
    """Nothing is compiled; the network has the best weights all the same."""
    model, heard = network(seed=1), list[Event]()
    result = train_own(folder, model, emit=heard.append)
    assert (result.history, result.reason) == (whole.result.history, "all 4 epochs are done")
    assert [type(event) for event in heard] == [Started, Finished]
    jax.tree.map(np.testing.assert_array_equal, weights_of(model), whole.weights)


def test_more_epochs_go_on_and_fewer_are_refused(whole, tmp_path):
    """Two epochs and two more are four; the same network and optimizer may be used again."""
    model = network()
    options = {"optimizer": keras.optimizers.Adam(0.01), "folder": tmp_path / "run"}
    fit(model, train, VAL, epochs=1, **options)
    assert len(fit(model, train, VAL, epochs=2, **options).history) == 2
    assert Run(tmp_path / "run", FIT).info()["settings"]["epochs"] == 2
    with pytest.raises(UsageError) as caught:
        fit(model, train, VAL, epochs=1, **options)
    assert str(caught.value) == (
        f"`epochs = 1`: {tmp_path / 'run'} was started for 2 epochs, which can only be raised."
    )


def test_what_it_was_not_started_with_is_refused_line_by_line(folder):
    """As for the settings of a run; JSON as it is in `fit.json`."""

    def hinge(labels, logits):
        raise AssertionError("is never traced")

    with pytest.raises(RunError) as caught:
        train_own(folder, optimizer=keras.optimizers.Adam(0.5), patience=3, loss=hinge)
    head, *lines, tail = str(caught.value).splitlines()
    assert head == f"{folder} was not started with this:"
    assert lines[0] == "  patience: 20 then, 3 now"
    assert lines[1].startswith('  optimizer.learning_rate: {"module": "keras.optimizers.schedules"')
    assert lines[1].endswith("then, 0.5 now")
    assert lines[2].startswith('  loss: "kvgg_jax.training.losses.cross_entropy" then, "')
    assert lines[2].endswith('<locals>.hinge" now')
    assert tail == "Give it what it started with, or choose another folder."


def test_other_data_is_a_warning_since_the_resume_is_not_exact(folder):
    """The first batch is kept as a digest."""
    heard: list[Event] = []
    rate = keras.optimizers.schedules.ExponentialDecay(0.01, 5, 0.9)
    other = lambda epoch: train(epoch + 1)  # noqa: E731
    optimizer = keras.optimizers.Adam(rate)
    fit(network(), other, VAL, folder=folder, epochs=4, optimizer=optimizer, emit=heard.append)
    assert [event.text for event in heard if isinstance(event, Warned)] == [
        f"The first batch of `train` is not the one that {folder} was started with, so this is not "
        "an exact resume: the data has changed, or its order is random."
    ]


def test_a_network_of_other_layers_is_refused(folder):
    """The checkpoint knows place, kind and shape of each variable."""
    model = keras.Sequential(
        [keras.Input((8, 8, 3)), keras.layers.Flatten(), keras.layers.Dense(2)]
    )
    with pytest.raises(RunError) as caught:
        train_own(folder, model)
    assert str(caught.value) == (
        f"{folder}/checkpoints/best/12 does not fit this model: "
        "['model_state']['0/sequential/batch_normalization/moving_mean'] is float32[4] in the "
        "checkpoint and absent in the model."
    )


def test_a_folder_of_something_else_or_in_use_is_refused(tmp_path):
    """Nothing is written to it."""
    (tmp_path / "notes.txt").touch()
    with pytest.raises(RunError) as caught:
        train_own(tmp_path)
    assert (
        str(caught.value)
        == f"{tmp_path} is not a folder of fit, and not empty: choose another one."
    )
    with locked(tmp_path / "held"), pytest.raises(RunError, match=r"held is in use by process \d+"):
        train_own(tmp_path / "held")
    (tmp_path / "file").touch()
    with pytest.raises(RunError) as caught:
        train_own(tmp_path / "file" / "run")
    assert str(caught.value) == (
        f"Cannot write to {tmp_path / 'file' / 'run'}: File exists. Choose another folder."
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "notes.txt"]


def test_wrong_settings_and_batches_are_refused_before_anything_is_written(tmp_path):
    """Each by the name of the argument."""
    with pytest.raises(ConfigError, match=r"train\.epochs"):
        train_own(tmp_path / "run", epochs=0)
    with pytest.raises(DataError) as caught:
        fit(network(), train, [], folder=tmp_path / "run")
    assert str(caught.value) == "`val` has no batch."
    with pytest.raises(UsageError) as caught:
        train_own(tmp_path / "run", optimizer="sgd")
    assert str(caught.value) == "`optimizer` must be an optimizer of Keras, not 'sgd'."
    assert [*tmp_path.iterdir()] == []


def test_a_loss_of_ones_own_decides_the_steps_and_a_diverging_one_is_told(tmp_path):
    """The next move is one that this caller has."""

    def wild(labels, logits):
        return logits[:, 0] * np.inf

    (tmp_path / "run").mkdir()  # an empty folder will do
    with pytest.raises(NonFiniteLoss) as caught:
        train_own(tmp_path / "run", loss=wild)
    assert str(caught.value).endswith(
        f"in epoch 1, step 1 of {STEPS} (step 1 of the run), at learning rate 0.01. Try a lower "
        "learning rate; the checkpoints before it are untouched."
    )
    info = json.loads((tmp_path / "run" / FIT).read_text())
    assert info["settings"]["loss"].endswith("<locals>.wild")
    assert info["status"] == "unfinished"


class Falling(keras.optimizers.schedules.LearningRateSchedule):
    """A schedule that does not say what it was made with."""

    def __call__(self, step):
        return 0.1 / (1.0 + step)


def test_a_schedule_that_cannot_be_told_is_kept_by_the_optimizers_name(tmp_path):
    """Keras asks a schedule for `get_config` only when it is saved."""
    optimizer = keras.optimizers.SGD(Falling())
    with pytest.raises(Stopped, match="epoch 1, after step 0 of 3"):
        train_own(tmp_path / "run", optimizer=optimizer, stop=lambda: True)
    settings = Run(tmp_path / "run", FIT).info()["settings"]
    assert [key for key in settings if key.startswith("optimizer")] == ["optimizer.class"]
    assert settings["optimizer.class"] == "keras.src.optimizers.sgd.SGD"


def test_patience_ends_a_run_and_keeps_it_ended(tmp_path):
    """As in `train`."""
    frozen = {"optimizer": keras.optimizers.SGD(1e-9), "patience": 1, "folder": tmp_path / "run"}
    model = network()
    first = fit(model, train, VAL, epochs=9, **frozen)
    assert first.reason == "validation accuracy has not risen by more than 0.001 for 1 epochs"
    assert len(first.history) < 9
    assert fit(model, train, VAL, epochs=9, **frozen) == first
