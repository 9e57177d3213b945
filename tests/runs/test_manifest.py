"""What a resume refuses because the world is not the one that the run began in."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kvgg_jax.core.errors import RunError
from kvgg_jax.core.events import Event, Warned
from kvgg_jax.inference.classifier import load_classifier
from kvgg_jax.runs.catalog import find
from kvgg_jax.runs.folder import Run
from kvgg_jax.runs.listing import DamagedRun, list_runs
from kvgg_jax.runs.lock import locked
from kvgg_jax.runs.manifest import check_files, check_settings
from kvgg_jax.training.trainer import resume, train
from support.runs import Trained


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
    """Picture size, head and optimizer would make it another run."""
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
    picture = photos / "red" / "red_03.png"
    pixels = np.array(Image.open(picture))
    pixels[0, 0, 0] ^= 1
    Image.fromarray(pixels).save(picture)
    head = f"The photos in {photos} have changed since {run} started"
    tail = "Restore them, or start a new run."
    assert refused(run) == f"{head}: 1 changed (red/red_03.png). {tail}"
    for number in range(4):
        (photos / "blue" / f"blue_{number:02}.png").unlink()
    assert refused(run) == (
        f"{head}: 4 removed (blue/blue_00.png, blue/blue_01.png, blue/blue_02.png, ...). {tail}"
    )


def test_a_class_that_was_renamed_is_one_whose_photos_are_gone(run):
    """The network's outputs bear the old name."""
    photos = run.parent / "photos"
    (photos / "red").rename(photos / "scarlet")
    assert ": 12 removed (red/red_00.png, red/red_01.png, red/red_02.png, ...). " in refused(run)


def test_photos_that_came_later_are_named_and_left_out(run):
    """The split was dealt when the run began."""
    photos, heard = run.parent / "photos", list[Event]()
    shutil.copy(photos / "red" / "red_03.png", photos / "red" / "new.png")
    check_files(Run(run), Run(run).split(photos), heard.append)
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


def test_the_newest_run_is_the_one_made_last_whatever_the_clock_said(trained, tmp_path):
    """By number; runs without one by their moment, in whatever time zone it is written."""
    for name, number, created in (
        ("a", None, "2026-11-24T09:30:00+09:00"),  # 00:30 UTC
        ("b", None, "2026-11-24T01:00:00+00:00"),
        ("c", 2, "2025-01-01T00:00:00+00:00"),  # the clock was set back
        ("d", 1, "2026-12-01T00:00:00+00:00"),
    ):
        run = Run(shutil.copytree(trained.run, tmp_path / name))
        info = {**run.info(), "created": created, "number": number}
        run.write("run.json", json.dumps({k: v for k, v in info.items() if v is not None}))
    assert find(out=tmp_path).path.name == "c"
    for name in ("c", "d"):
        shutil.rmtree(tmp_path / name)
    assert find(out=tmp_path).path.name == "b"
