"""A folder with `train/` and `val/` is a split that somebody made: it is used as it is."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import pytest

from kvgg_jax.core.config import RunConfig
from kvgg_jax.core.errors import DataError
from kvgg_jax.core.events import Note
from kvgg_jax.data.folder import scan
from kvgg_jax.data.given_split import how_split
from kvgg_jax.data.grouping import split_photos
from support.commands import TINY, kvgg, message
from support.runs import COLORS, draw_photos


@pytest.fixture
def parts(tmp_path: Path) -> Path:
    """`parts/train` with 8 photos a class, `parts/val` with 4, and `parts/test` with 12."""
    root = tmp_path / "parts"
    draw_photos(root / "test")
    draw_photos(root / "train")
    for name in COLORS:
        (root / "val" / name).mkdir(parents=True)
        for file in sorted((root / "train" / name).iterdir())[8:]:
            file.rename(root / "val" / name / file.name)
    return root


def parts_in(file: Path) -> dict[str, set[str]]:
    """Top folder -> the parts that `split.csv` has of it."""
    found: dict[str, set[str]] = {}
    for row in csv.DictReader(file.read_text().splitlines()):
        assert row["path"].split("/")[1] == row["class"]
        found.setdefault(row["path"].split("/")[0], set()).add(row["part"])
    return found


@pytest.mark.parametrize(
    ("train", "val"), [("train", "val"), ("Training", "valid"), ("train", "validation")]
)
def test_each_folder_is_the_part_that_it_says(parts: Path, train: str, val: str) -> None:
    """By any of the usual names; the settings of a split have no say, and one line says so."""
    (parts / "train").rename(parts / train)
    (parts / "val").rename(parts / val)
    heard: list[object] = []
    config = RunConfig(data={"val_split": 0.5, "split": "grouped"})
    split = split_photos(config, scan(parts), emit=heard.append)
    assert {path.split("/")[0] for path in split.train.paths} == {train}
    assert {path.split("/")[0] for path in split.val.paths} == {val}
    assert (len(split.train), len(split.val)) == (24, 12)
    assert split.train.classes == ("blue", "green", "red")
    assert split.val.relabel(split.val.classes) == split.val
    assert all(file.is_file() for file in split.all.files())
    assert heard == [
        Note(
            f"{parts} is split already: {train} for training, {val} for validation; "
            "test is left alone"
        )
    ]


def test_without_a_test_part_nothing_is_left_alone(parts: Path) -> None:
    """The line then says no more."""
    shutil.rmtree(parts / "test")
    heard: list[object] = []
    split_photos(RunConfig(), scan(parts), emit=heard.append)
    line = f"{parts} is split already: train for training, val for validation"
    assert heard == [Note(line)]


def test_class_folders_are_split_as_the_settings_say(photos: Path) -> None:
    """Whatever the classes are called."""
    for old, new in (("blue", "train"), ("green", "val"), ("red", "test")):
        (photos / old).rename(photos / new)
    assert how_split(RunConfig(), scan(photos)) == "keras"


def test_both_parts_need_the_same_classes(parts: Path) -> None:
    """Each that lacks one is named."""
    shutil.rmtree(parts / "val" / "red")
    (parts / "val" / "green").rename(parts / "val" / "gold")
    with pytest.raises(DataError) as caught:
        scan(parts)
    assert str(caught.value) == (
        f"{parts}: only {parts}/train has green, red; only {parts}/val has gold. Both parts need "
        "photos of the same classes: add some to the other, or remove the class."
    )


@pytest.mark.usefixtures("thin", "blank")
def test_a_run_on_given_parts_is_trained_resumed_evaluated_and_reported(
    parts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`split.csv` keeps the parts, so that all goes on as with any run."""
    monkeypatch.chdir(parts.parent)
    trained = kvgg("train", *TINY, "--data", "parts", "--epochs", "1", "--name", "x")
    assert trained.exit_code == 0, trained.output
    assert "is split already: train for training" in " ".join(trained.stderr.split())
    assert parts_in(Path("runs/x/split.csv")) == {"train": {"train"}, "val": {"val"}}
    resumed = kvgg("train", "--resume", "x", "--epochs", "2")
    assert resumed.exit_code == 0, resumed.output
    for command, count in (("evaluate --split val", 12), ("evaluate --split all", 36)):
        found = kvgg(*command.split(), "--run", "x", "--json")
        assert (found.exit_code, json.loads(found.stdout)["count"]) == (0, count)
    assert kvgg("report", "--run", "x").exit_code == 0


def test_folds_are_refused(parts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are dealt from one folder; nothing is written."""
    monkeypatch.chdir(parts.parent)
    refused = kvgg("crossval", *TINY, "--data", parts, "--folds", "2")
    assert (refused.exit_code, message(refused).splitlines()[-1]) == (
        1,
        f"Error: {parts} is split into train and val already, and folds are dealt from one folder. "
        f"Give one part: {parts}/train.",
    )
    assert list(Path("runs").rglob("*.csv")) == []


def test_the_check_looks_through_both_parts_and_passes_over_the_test_photos(parts: Path) -> None:
    """A copy across the parts is a leak, which no way to split prevents."""
    shutil.copy(parts / "train/red/red_00.png", parts / "val/red/copy.png")
    found = json.loads(kvgg("data", "check", parts, "--json").stdout)
    assert found["split"] == {"how": "given", "train": 24, "val": 13, "leaks": 1}
    assert (found["count"], found["odd"]) == (37, [])
    text = " ".join(kvgg("data", "check", parts).stdout.replace("│", " ").split())
    assert (
        "1 of 13 validation photos are in training too (split as the folders are); remove them "
        "from one part"
    ) in text
