"""Photos that a run meets again: those it was trained on, and those that have changed."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from PIL import Image

from kvgg_jax import calibrate, evaluate
from kvgg_jax.core.errors import DataError
from kvgg_jax.core.events import Event, Warned
from kvgg_jax.data.folder import scan
from kvgg_jax.data.reader import read
from kvgg_jax.runs.folder import Run
from kvgg_jax.runs.overlap import changed_since, trained_on
from kvgg_jax.training.trainer import train
from support.runs import Trained, draw_photos, small_config

pytestmark = pytest.mark.usefixtures("thin_network", "blank")


def learnt(run: Run, photos: Path) -> set[str]:
    return set(run.split(photos).train.paths)


def warnings(heard: list[Event]) -> list[str]:
    return [event.text for event in heard if isinstance(event, Warned)]


@pytest.fixture
def run(trained: Trained) -> Run:
    return Run(trained.run)


@pytest.fixture
def moved(trained: Trained, tmp_path: Path) -> Path:
    """The photos of the run under another name, and one of each class that it does not know."""
    photos = shutil.copytree(trained.photos, tmp_path / "moved")
    for folder in draw_photos(tmp_path / "new", per_class=13).iterdir():
        shutil.copy(folder / f"{folder.name}_12.png", photos / folder.name)
    return photos


def test_the_photos_of_training_are_known_as_files_and_as_copies(run, trained, moved):
    """A file that is there no more is known by its pixels; its class has to be the same."""
    own = read(scan(trained.photos), 32)
    assert set(trained_on(run, own)) == learnt(run, trained.photos)
    assert set(trained_on(run, read(scan(moved), 32))) == learnt(run, trained.photos)
    path = next(path for path in learnt(run, trained.photos) if path.startswith("red/"))
    (moved / path).rename(moved / "blue" / "other.png")
    assert set(trained_on(run, read(scan(moved), 32))) == learnt(run, trained.photos) - {path}
    other_size = read(scan(trained.photos), 48)
    assert set(trained_on(run, other_size)) == learnt(run, trained.photos)


def test_changed_photos_are_named(run, trained, moved):
    """Those whose pixels are others; new ones have not changed."""
    assert changed_since(run, read(scan(moved), 32)) == []
    Image.new("RGB", (32, 32), "white").save(moved / "red" / "red_03.png")
    assert changed_since(run, read(scan(moved), 32)) == ["red/red_03.png"]


def test_evaluate_says_which_photos_flatter_the_run(run, trained, moved):
    """On its own validation part it has nothing to say."""
    heard: list[Event] = []
    found = evaluate(run.path, data=moved, emit=heard.append)
    count = len(learnt(run, trained.photos))
    assert found.trained_on == count
    assert warnings(heard) == [
        f"{count} of the {found.count} photos in {moved} are among those that {run.path} was "
        "trained on, so its accuracy looks better than it is."
    ]
    heard.clear()
    assert evaluate(run.path, emit=heard.append).trained_on == 0
    assert warnings(heard) == []
    assert evaluate(run.path, split="all", emit=heard.append).trained_on == count
    assert len(warnings(heard)) == 1


def test_evaluate_says_that_its_photos_have_changed(run, trained, moved):
    """The validation photos of the run, where they are now."""
    path = run.split(trained.photos).val.paths[0]
    Image.new("RGB", (32, 32), "white").save(moved / path)
    heard: list[Event] = []
    evaluate(run.path, data=moved, split="val", emit=heard.append)
    assert warnings(heard) == [
        f"{moved}: 1 changed ({path}) since {run.path} was trained, or this version "
        "decodes them differently."
    ]


def test_a_temperature_is_not_fitted_to_copies_of_training_photos(run, trained, moved, tmp_path):
    """As after `mv photos new`, which makes `calibrate` ask for --data."""
    copy = shutil.copytree(run.path, tmp_path / "run")
    with pytest.raises(DataError) as caught:
        calibrate(copy, data=moved)
    count = len(learnt(run, trained.photos))
    assert str(caught.value).startswith(f"{moved} has {count} photos that {copy} was trained on")


def test_weights_of_a_run_that_has_seen_photos_for_validation_are_warned_of(run, moved, tmp_path):
    """New photos deal another split, so what was for validation then is for training now."""
    heard: list[Event] = []
    config = small_config(moved, model={"weights": str(run.path)}, train={"epochs": 1})
    new = Run(train(config, out=tmp_path / "runs", name="new", emit=heard.append).run)
    val = new.split(moved).val.paths
    seen = learnt(run, moved) & set(val)
    assert seen
    assert warnings(heard) == [
        f"{len(seen)} of the {len(val)} photos for validation are among those that {run.path} was "
        "trained on, which flatters what is measured on them. Judge by others (kvgg evaluate "
        "--data DIR); the same photos, none added, are dealt alike with the same `seed` and "
        "`data.split`."
    ]


def test_a_run_without_its_split_gives_weights_all_the_same(trained, tmp_path):
    """What cannot be told is said."""
    run = shutil.copytree(trained.run, tmp_path / "run")
    (run / "split.csv").unlink()
    heard: list[Event] = []
    config = small_config(trained.photos, model={"weights": str(run)}, train={"epochs": 1})
    train(config, out=tmp_path / "runs", name="new", emit=heard.append)
    assert warnings(heard) == [
        f"Whether {run} has learnt photos for validation is not known: {run} has no readable "
        "split.csv: No such file or directory."
    ]


@pytest.mark.parametrize(("file", "data"), [("split.csv", True), ("digests.csv", False)])
def test_a_run_that_does_not_tell_is_judged_and_not_calibrated(
    trained, moved, tmp_path, file, data
):
    """What it may have learnt cannot be told from other photos."""
    run = shutil.copytree(trained.run, tmp_path / "run")
    (run / file).unlink()
    heard: list[Event] = []
    found = evaluate(run, data=moved if data else None, emit=heard.append)
    assert found.trained_on is None
    assert warnings(heard) == [
        f"It is unknown which of these photos {run} was trained on: {run} has no readable {file}: "
        "No such file or directory."
    ]
    with pytest.raises(DataError) as caught:
        calibrate(run, data=moved)
    assert str(caught.value) == (
        f"Which photos {run} was trained on is not known, so none can be told to be others. Put "
        "its split.csv and digests.csv back."
    )
