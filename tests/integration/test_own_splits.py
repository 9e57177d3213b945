"""Splits, lists and groups of the user's own, from `train` to `report`, as a user has them."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from kvgg_jax.runs.folder import Run
from support.commands import TINY, kvgg, message
from support.runs import draw_photos

pytestmark = pytest.mark.usefixtures("thin", "blank")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with three folders of photos."""
    monkeypatch.chdir(tmp_path)
    for name in ("may", "june", "july"):
        draw_photos(tmp_path / name, per_class=6)
    return tmp_path


def count_of(*words: str) -> int:
    found = kvgg("evaluate", *words, "--json")
    assert found.exit_code == 0, found.output
    return json.loads(found.stdout)["count"]


def test_folders_of_ones_own_train_validate_and_test(here: Path) -> None:
    """The test photos are not even looked at until they are asked for."""
    for file in (here / "july").glob("blue/*"):
        file.unlink()
    (here / "july" / "red" / "red_00.png").write_text("no image")
    words = ("--data", "may", "--val", "june", "--test", "july", "--name", "x", "--epochs", "1")
    trained = kvgg("train", *TINY, *words)
    assert trained.exit_code == 0, trained.output
    split = Run(Path("runs/x")).split()
    assert {part: len(samples) for part, samples in split.parts()} == {
        "train": 18,
        "val": 18,
        "test": 12,
    }
    assert count_of() == 18
    bad = kvgg("evaluate", "--run", "x", "--split", "test")
    assert message(bad).splitlines()[:2] == [
        "Error: 1 of 12 images cannot be read:",
        f"  {here}/july/red/red_00.png: is text, not an image. Replace or remove it.",
    ]
    assert count_of("--split", "test", "--skip-bad") == 11
    assert kvgg("train", "--resume", "x", "--epochs", "2").exit_code == 0
    assert kvgg("report", "--run", "x", "--output", "r.html").exit_code == 0


def test_a_third_part_is_split_off_and_judged_by_evaluate_alone(here: Path) -> None:
    """Its photos are not read by a training or a resume; every command works."""
    words = ("--data", "may", "--test-split", "0.25", "--split", "stratified", "--epochs", "1")
    trained = kvgg("train", *TINY, *words, "--name", "x")
    assert trained.exit_code == 0, trained.output
    assert "12 for training, 3 for validation, 3 for testing" in " ".join(trained.stderr.split())
    test = Run(Path("runs/x")).split().test
    assert test is not None
    kept = {file: file.read_bytes() for file in map(Path, map(str, test.files()))}
    for file in kept:
        file.write_text("no image")
    assert kvgg("train", "--resume", "x", "--epochs", "2").exit_code == 0
    assert (count_of(), count_of("--split", "all")) == (3, 15)
    assert kvgg("evaluate", "--split", "test").exit_code == 1
    for file, content in kept.items():
        file.write_bytes(content)
    assert count_of("--split", "test") == 3


def test_a_third_part_is_given_once(here: Path) -> None:
    """By a share or by a folder; nothing is written."""
    both = kvgg("train", *TINY, "--data", "may", "--test", "june", "--test-split", "0.1")
    assert message(both) == (
        "Error: --test june, --test-split 0.1: test_split and test both give a test part: use one "
        "of them.\n"
    )
    all_of_it = kvgg("train", *TINY, "--data", "may", "--test-split", "0.8")
    assert message(all_of_it) == (
        "Error: --test-split 0.8: val_split 0.2 and test_split 0.8 leave no photos for training: "
        "together they must be less than 1.\n"
    )
    none = kvgg("train", *TINY, "--data", "may", "--test-split", "0.01")
    assert message(none).splitlines()[-1] == (
        f"Error: {here}/may: 18 images with --test-split 0.01 leave 0 for testing; it needs at "
        "least 1. Add photos or change the share."
    )
    assert not Path("runs").exists() or not list(Path("runs").iterdir())


def test_the_split_of_one_run_is_the_list_of_another(here: Path) -> None:
    """Photo by photo; a weight of a list changes the training, not the validation."""
    first = kvgg("train", *TINY, "--data", "may", "--split", "stratified", "--name", "one",
                 "--epochs", "1", "--json")  # fmt: skip
    assert first.exit_code == 0, first.output
    listed = Path("runs/one/split.csv")
    words = ("--data-root", "may", "--epochs", "1", "--json")
    again = kvgg("train", *TINY, "--data", listed, *words, "--name", "two")
    assert again.exit_code == 0, again.output
    assert Path("runs/two/split.csv").read_text() == listed.read_text()
    with Path("weighted.csv").open("w", newline="") as file:
        rows = csv.reader(listed.read_text().splitlines())
        csv.writer(file).writerows(
            [*row, "weight" if row[0] == "path" else str(1 + n % 3)] for n, row in enumerate(rows)
        )
    weighed = kvgg("train", *TINY, "--data", "weighted.csv", *words, "--name", "three")
    assert weighed.exit_code == 0, weighed.output
    results = [json.loads(one.stdout)["best"] for one in (first, again, weighed)]
    assert results[0] == results[1] != results[2]
    assert count_of("--run", "three") == 3
    Path("weighted.csv").write_text(Path("weighted.csv").read_text().replace(",3\n", ",1\n"))
    changed = kvgg("train", "--resume", "three", "--epochs", "2")
    assert changed.exit_code == 0, changed.output  # split.csv of the run has the weights


def test_other_photos_need_only_labels_that_the_run_knows(here: Path) -> None:
    """One class is enough; what is absent or left out is named."""
    assert kvgg("train", *TINY, "--data", "may", "--epochs", "1", "--name", "x").exit_code == 0
    for name in ("blue", "green"):
        for file in (here / "june" / name).iterdir():
            file.unlink()
    (here / "june" / "what.png").write_bytes((here / "june/red/red_00.png").read_bytes())
    found = kvgg("evaluate", "--data", "june", "--json")
    assert json.loads(found.stdout)["count"] == 6
    said = " ".join(found.stderr.split())
    assert "june has no photos of blue, green" in said
    assert "Left out 1 file without a class: june/what.png" in said
    (here / "june" / "pink").mkdir()
    refused = kvgg("evaluate", "--run", "x", "--data", "june")
    assert message(refused) == (
        "Error: june has classes that runs/x does not know: pink. It knows: blue, green, red.\n"
    )
    none = kvgg("evaluate", "--run", "x", "--split", "test")
    assert message(none) == (
        "Error: runs/x has no test photos. Train with some that training does not use: "
        "--test-split, --test.\n"
    )


def test_bad_lists_are_refused_before_anything_is_written(here: Path) -> None:
    """By the flag that the user gave."""
    Path("list.csv").write_text("path,label\nred/red_00.png,red\nblue/blue_00.png,blue\n")
    refused = kvgg("train", *TINY, "--data", "list.csv")
    assert (refused.exit_code, message(refused)) == (
        1,
        f"Error: {here}/list.csv, line 2: red/red_00.png is not a file; line 3: blue/blue_00.png "
        f"is not a file. Paths start from {here}. To start elsewhere: --data-root DIR.\n",
    )
    assert list(Path("runs").rglob("*.csv")) == []


def test_one_folder_of_all_parts_is_trained_resumed_evaluated_and_reported(here: Path) -> None:
    """`split.csv` keeps the parts, so that all commands work as with any run."""
    (here / "parts").mkdir()
    for part, name in (("train", "may"), ("val", "june"), ("test", "july")):
        (here / name).rename(here / "parts" / part)
    trained = kvgg("train", *TINY, "--data", "parts", "--epochs", "1", "--name", "x")
    assert trained.exit_code == 0, trained.output
    assert "is split already: 18 for training" in " ".join(trained.stderr.split())
    rows = csv.DictReader(Path("runs/x/split.csv").read_text().splitlines())
    assert {(row["path"].split("/")[0], row["part"]) for row in rows} == {
        ("train", "train"),
        ("val", "val"),
        ("test", "test"),
    }
    resumed = kvgg("train", "--resume", "x", "--epochs", "2")
    assert resumed.exit_code == 0, resumed.output
    counts = [count_of("--split", part, "--run", "x") for part in ("val", "all", "test")]
    assert counts == [18, 36, 18]
    assert kvgg("report", "--run", "x").exit_code == 0
