"""What has changed since a run began: what a resume refuses, and what `evaluate` warns of."""

from __future__ import annotations

import json
import os
import platform
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kvgg_jax import calibrate, evaluate
from kvgg_jax.core.errors import DataError, RunError
from kvgg_jax.core.events import Event, Warned, ignore
from kvgg_jax.data.reader import read
from kvgg_jax.data.sources.folder import scan
from kvgg_jax.inference.classifier import load_classifier
from kvgg_jax.runs.folder import Run
from kvgg_jax.runs.listing import DamagedRun, list_runs
from kvgg_jax.runs.lock import INSIDE, locked
from kvgg_jax.runs.manifest import check_files, check_settings, trained_on
from kvgg_jax.training.trainer import resume, train
from support.runs import Trained, draw_photos, small_config

pytestmark = pytest.mark.usefixtures("thin_network", "blank")


@pytest.fixture
def run(trained: Trained, tmp_path: Path) -> Path:
    """A copy of the finished run, to be changed, with photos of its own."""
    copy = shutil.copytree(trained.run, tmp_path / "run")
    photos = shutil.copytree(trained.photos, tmp_path / "photos")
    edit(copy, str(trained.photos), str(photos))
    return copy


def edit(run: Path, old: str, new: str) -> None:
    text = (run / "config.toml").read_text()
    assert old in text
    (run / "config.toml").write_text(text.replace(old, new))


def refused(run: Path) -> str:
    """What a resume says; it must change nothing."""
    before = sorted((path, path.stat().st_mtime_ns) for path in run.rglob("*"))
    with pytest.raises(RunError) as caught:
        resume(run, epochs=3)
    assert sorted((path, path.stat().st_mtime_ns) for path in run.rglob("*")) == before
    return str(caught.value)


def test_each_setting_that_was_edited_is_shown_with_both_values(run):
    """Image size, head and optimizer would make it another run."""
    edit(run, "image_size = 32", "image_size = 48")
    edit(run, 'head = "gap"', 'head = "slim"')
    edit(run, "lr = 0.0001", "lr = 0.01")
    assert refused(run) == (
        f"{run}/config.toml has changed since the run started:\n"
        "  data.image_size: 32 then, 48 now\n"
        '  model.head: "gap" then, "slim" now\n'
        "  optim.lr: 0.0001 then, 0.01 now\n"
        f"Restore it, or start a new run with it: kvgg train --config {run}/config.toml"
    )


def test_settings_that_change_no_step_may_be_edited(run):
    """Where the photos are, how many epochs, how often it saves."""
    edit(run, "epochs = 2", "epochs = 5\nsave_every_steps = 3")
    check_settings(Run(run), Run(run).config())
    assert Run(run).config().train.save_every_steps == 3


def test_photos_that_are_gone_changed_or_unreadable_are_counted_and_named(run):
    """Three names at most of each."""
    photos = run.parent / "photos"
    file = photos / "red" / "red_03.png"
    pixels = np.array(Image.open(file))
    pixels[0, 0, 0] ^= 1
    Image.fromarray(pixels).save(file)
    head = f"The photos in {photos} have changed since {run} started"
    tail = "Restore them, or start a new run."
    assert refused(run) == f"{head}: 1 changed (red/red_03.png). {tail}"
    for number in range(4):
        (photos / "blue" / f"blue_{number:02}.png").unlink()
    assert refused(run) == (
        f"{head}: 4 removed (blue/blue_00.png, blue/blue_01.png, blue/blue_02.png, ...). {tail}"
    )


def test_a_folder_of_photos_that_is_gone_is_named_with_the_key_of_its_place(run):
    """A disk that is not mounted, say: no photo was removed."""
    photos = run.parent / "photos"
    split = Run(run).split()
    photos.rename(run.parent / "moved")
    with pytest.raises(RunError) as caught:
        check_files(Run(run), split, ignore)
    assert str(caught.value) == (
        f"{photos}, the photos of {run}, is not there. Put the folder back, or give its new place "
        f"as data.dir in {run}/config.toml."
    )


def test_a_class_that_was_renamed_is_one_whose_photos_are_gone(run):
    """The network's outputs bear the old name."""
    photos = run.parent / "photos"
    (photos / "red").rename(photos / "scarlet")
    assert ": 12 removed (red/red_00.png, red/red_01.png, red/red_02.png, ...). " in refused(run)


def test_photos_that_came_later_are_named_and_left_out(run):
    """The split is that of the start."""
    photos, heard = run.parent / "photos", list[Event]()
    shutil.copy(photos / "red" / "red_03.png", photos / "red" / "new.png")
    check_files(Run(run), Run(run).split(), heard.append)
    assert heard == [
        Warned(f"{photos}: 1 new (red/new.png) since {run} started; they are not used.")
    ]


def test_class_names_in_another_order_are_refused(run):
    """They would be given to the wrong outputs, without a trace."""
    (run / "classes.json").write_text(json.dumps(["red", "green", "blue"]))
    assert refused(run) == (
        f"{run}/classes.json is damaged: the names are not sorted, so they would be assigned "
        "to the wrong outputs."
    )


def test_a_split_that_was_edited_is_refused(run):
    """A validation photo moved to training would flatter every later figure."""
    text = (run / "split.csv").read_text()
    (run / "split.csv").write_text(text.replace(",val", ",train", 1))
    assert refused(run) == (
        f"{run}/split.csv has changed since the run started. Restore it, or start a new run."
    )


@pytest.mark.parametrize("format", [1, 3])
def test_a_run_of_another_format_says_which_version_wrote_it(run, format):
    """Guessing what it means would be worse."""
    Run(run).update_info(format=format, versions={"kvgg_jax": "9.1"})
    expected = (
        f"{run} has format {format}, written by kvgg_jax 9.1; this version reads format 2 alone. "
        "Use that version, or train again."
    )
    assert refused(run) == expected
    (listed,) = (one for one in list_runs(run.parent) if isinstance(one, DamagedRun))
    assert listed == DamagedRun(run, expected)
    with pytest.raises(RunError) as caught:
        load_classifier(run)
    assert str(caught.value) == expected


def test_a_run_in_use_is_neither_resumed_nor_replaced(run):
    """By a second process; here the same one holds it twice."""
    config = Run(run).config()
    with locked(run):
        assert refused(run).startswith(f"{run} is in use by process ")
        with pytest.raises(RunError, match=f"^{run} is in use by process "):
            train(config, out=run.parent, name=run.name, overwrite=True)
    assert Run(run).info()["status"] == "finished"


def test_a_new_run_is_held_inside_its_folder_too(photos, tmp_path):
    """From the moment that it is there, so that another mount of it shows that it is in use."""
    held = []

    def look(run: Run) -> None:
        held.append((run.path / INSIDE).read_text())
        raise RunError("seen")

    with pytest.raises(RunError, match="seen"):
        train(small_config(photos), out=tmp_path, name="new", check=look)
    assert held == [f"process {os.getpid()} on {platform.node()}"]
    assert not (tmp_path / "new" / INSIDE).exists()


def learned(run: Run, photos: Path) -> set[str]:
    return set(run.split().train.paths)


def warnings(heard: list[Event]) -> list[str]:
    return [event.text for event in heard if isinstance(event, Warned)]


@pytest.fixture
def known(trained: Trained) -> Run:
    """The finished run itself, to be read."""
    return Run(trained.run)


@pytest.fixture
def moved(trained: Trained, tmp_path: Path) -> Path:
    """The photos of the run under another name, and one of each class that it does not know."""
    photos = shutil.copytree(trained.photos, tmp_path / "moved")
    for folder in draw_photos(tmp_path / "new", per_class=13).iterdir():
        shutil.copy(folder / f"{folder.name}_12.png", photos / folder.name)
    return photos


def test_the_photos_of_training_are_known_as_files_and_as_copies(known, trained, moved):
    """A file that is there no more is known by its pixels; its class has to be the same."""
    own = read(scan(trained.photos), 32)
    assert set(trained_on(known, own).paths) == learned(known, trained.photos)
    assert set(trained_on(known, read(scan(moved), 32)).paths) == learned(known, trained.photos)
    path = next(path for path in learned(known, trained.photos) if path.startswith("red/"))
    (moved / path).rename(moved / "blue" / "other.png")
    assert set(trained_on(known, read(scan(moved), 32)).paths) == learned(known, trained.photos) - {
        path
    }
    other_size = read(scan(trained.photos), 48)
    assert set(trained_on(known, other_size).paths) == learned(known, trained.photos)


def test_evaluate_says_which_photos_flatter_the_run(known, trained, moved):
    """On its own validation part it has nothing to say."""
    heard: list[Event] = []
    found = evaluate(known.path, data=moved, emit=heard.append)
    count = len(learned(known, trained.photos))
    assert found.trained_on == count
    assert warnings(heard) == [
        f"{count} of the {found.count} photos in {moved} are among those that {known.path} was "
        "trained on, so its accuracy looks better than it is."
    ]
    heard.clear()
    assert evaluate(known.path, emit=heard.append).trained_on == 0
    assert warnings(heard) == []
    assert evaluate(known.path, split="all", emit=heard.append).trained_on == count
    assert len(warnings(heard)) == 1


def test_evaluate_says_that_its_photos_have_changed(known, trained, moved):
    """The validation photos of the known, where they are now."""
    path = known.split().val.paths[0]
    Image.new("RGB", (32, 32), "white").save(moved / path)
    heard: list[Event] = []
    evaluate(known.path, data=moved, split="val", emit=heard.append)
    assert warnings(heard) == [
        f"{moved}: 1 changed ({path}) since {known.path} was trained, or this version "
        "decodes them differently."
    ]


def test_a_temperature_is_not_fitted_to_copies_of_training_photos(known, trained, moved, tmp_path):
    """As after `mv photos new`, which makes `calibrate` ask for --data."""
    copy = shutil.copytree(known.path, tmp_path / "run")
    with pytest.raises(DataError) as caught:
        calibrate(copy, data=moved)
    count = len(learned(known, trained.photos))
    assert str(caught.value).startswith(f"{moved} has {count} photos that {copy} was trained on")


def test_weights_of_a_run_that_has_seen_photos_for_validation_are_warned_of(known, moved, tmp_path):
    """New photos give another split, so what was for validation then is for training now."""
    heard: list[Event] = []
    config = small_config(moved, model={"weights": str(known.path)}, train={"epochs": 1})
    new = Run(train(config, out=tmp_path / "runs", name="new", emit=heard.append).run)
    val = new.split().val.paths
    seen = learned(known, moved) & set(val)
    assert seen
    assert warnings(heard) == [
        f"{len(seen)} of the {len(val)} photos for validation are among those that {known.path} "
        "was trained on, so the accuracy looks better than it is. Evaluate with other photos (kvgg "
        "evaluate --data DIR). The same photos are split alike with the same `seed` and "
        "`data.split`, if none is added."
    ]


def test_a_run_without_its_split_gives_weights_all_the_same(trained, tmp_path):
    """A warning says what is unknown."""
    run = shutil.copytree(trained.run, tmp_path / "run")
    (run / "split.csv").unlink()
    heard: list[Event] = []
    config = small_config(trained.photos, model={"weights": str(run)}, train={"epochs": 1})
    train(config, out=tmp_path / "runs", name="new", emit=heard.append)
    assert warnings(heard) == [
        f"It is unknown whether {run} was trained on photos for validation: {run} has no readable "
        "split.csv: No such file or directory."
    ]


@pytest.mark.parametrize(("file", "data"), [("split.csv", True), ("digests.csv", False)])
def test_a_run_without_its_split_or_digests_is_evaluated_and_not_calibrated(
    trained, moved, tmp_path, file, data
):
    """Its training photos are unknown."""
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
        f"Which photos {run} was trained on is not known, so none can be shown to be others. "
        "Put its split.csv and digests.csv back."
    )
