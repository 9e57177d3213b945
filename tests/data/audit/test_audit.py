"""`kvgg data check`: what is found in a folder, as JSON and tables; what `train` says of it."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from kvgg_jax import check_data
from kvgg_jax.core.errors import DataError
from kvgg_jax.data.audit import audit
from kvgg_jax.data.audit.audit import copies_warning
from kvgg_jax.data.audit.duplicates import Fingerprint, same_photo
from kvgg_jax.data.audit.findings import Check
from kvgg_jax.data.grouping import split_photos
from kvgg_jax.data.sources.folder import scan
from kvgg_jax.data.split import split_samples
from kvgg_jax.training import trainer
from support.commands import TINY, kvgg, message
from support.images import scene
from support.runs import small_config

BROKEN = "is text, not an image. Replace or remove it."


@pytest.fixture
def beans(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """`beans/` in the current folder: 20 scenes of two classes, and all that can be odd."""
    monkeypatch.chdir(tmp_path)
    for number in range(20):
        folder = Path("beans", "ab"[number % 2])
        folder.mkdir(parents=True, exist_ok=True)
        scene(number, 64).save(folder / f"{number:02}.png")
    shutil.copy("beans/a/00.png", "beans/a/copy.png")
    Image.open("beans/a/02.png").save("beans/b/not b.jpg", quality=70)
    Path("beans/a/broken.jpg").write_text("no image")
    Path("beans/b/notes.txt").write_text("of mine")
    Path("beans/b/.hidden").touch()
    Path("beans/read me.md").touch()
    Image.new("L", (64, 64), 200).save("beans/a/flat.png")
    scene(30, 64).resize((64, 20)).save("beans/a/long.png")
    return Path("beans")


def test_all_that_is_odd_in_a_folder_is_found(beans: Path) -> None:
    """The whole answer, as a program reads it."""
    result = kvgg("data", "check", "beans", "--split", "stratified", "--json")
    assert result.exit_code == 0, result.output
    printed = json.loads(result.stdout)
    color, duplicates = printed.pop("color"), printed.pop("duplicates")
    assert printed == {
        "folder": "beans",
        "count": 25,
        "classes": {"a": 14, "b": 11},
        "imbalance": 1.273,
        "sizes": {"64 x 64": 23, "64 x 20": 1},
        "modes": {"RGB": 23, "L": 1},
        "formats": {"PNG": 23, "JPEG": 1},
        "bad": [{"path": "beans/a/broken.jpg", "reason": f"beans/a/broken.jpg: {BROKEN}"}],
        "odd": [
            {"path": "beans/a/flat.png", "reason": "has only one color"},
            {
                "path": "beans/a/long.png",
                "reason": "has 64 x 20 pixels and is resized to a square",
            },
            {
                "path": "beans/a/long.png",
                "reason": "has 64 x 20 pixels, fewer than any network here accepts",
            },
            {
                "path": "beans/read me.md",
                "reason": "is outside the class folders and is not used",
            },
            {
                "path": "beans/b/notes.txt",
                "reason": "is not a known image file and is not used",
            },
        ],
        "contradictory": 1,
        "split": {"how": "stratified", "train": 21, "val": 4, "leaks": 0},
        "series": None,
        "against": None,
    }
    assert list(color) == ["class_mean", "nearest", "reference", "chance"]
    assert (color["reference"], color["chance"]) == (20, 0.5)
    val = set(split_samples(scan(beans), val_split=0.2, seed=42, how="stratified").val.paths)
    groups = ((False, ("a/02.png", "b/not b.jpg")), (True, ("a/00.png", "a/copy.png")))

    def row_of(path: str) -> dict[str, str]:
        part = "val" if path in val else "train"
        return {"path": f"beans/{path}", "class": path[0], "part": part}

    assert duplicates == [
        {"exact": exact, "photos": [row_of(path) for path in paths]} for exact, paths in groups
    ]


def test_leaks_are_those_of_the_split_that_train_would_make(beans: Path) -> None:
    """Some seed puts the copies on both sides; grouped never does."""
    for seed in range(20):
        for how in ("keras", "grouped"):
            config = small_config(beans, data={"split": how, "split_seed": seed})
            result = check_data(beans, config=config)
            sides = [set(group.parts) for group in result.duplicates]
            assert result.split_leaks == sum(side == {"train", "val"} for side in sides)
            assert (result.count, result.parts["val"]) == (25, 5)
            if how == "grouped":
                assert result.split_leaks == 0
        if check_data(beans, config=small_config(beans, data={"split_seed": seed})).split_leaks:
            return
    pytest.fail("no seed of 20 leaks")


def test_another_folder_does_not_change_how_photos_are_split(
    beans: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A photo there may be near two photos here that are not near each other."""

    def all_are_near(looks: Sequence[Fingerprint | None]) -> NDArray[np.int64]:
        return same_photo(looks) if len(looks) == 25 else np.zeros(len(looks), np.int64)

    (tmp_path / "flat").mkdir()
    scene(40, 64).save(tmp_path / "flat" / "fresh.png")
    monkeypatch.setattr(audit, "same_photo", all_are_near)
    result = check_data(
        beans, against=tmp_path / "flat", config=small_config(beans, data={"split": "grouped"})
    )
    assert (result.parts["val"], len(result.duplicates)) == (5, 1)


def test_two_folders_are_compared_with_or_without_classes(beans: Path, tmp_path: Path) -> None:
    """What is in both counts as a leak; a flat folder has no labels to contradict."""
    for name in ("new", "flat"):
        (tmp_path / name).mkdir()
        shutil.copy(beans / "b" / "01.png", tmp_path / name / "again.png")
        scene(40, 64).save(tmp_path / name / "fresh.png")
    for label in "ac":
        (tmp_path / "new" / label).mkdir()
        (tmp_path / "new" / f"{'again' if label == 'a' else 'fresh'}.png").rename(
            tmp_path / "new" / label / "1.png"
        )
    for name, contradictory in (("new", 2), ("flat", 1)):
        result = check_data(beans, against=tmp_path / name)
        assert (result.folder_leaks, result.parts["against"]) == (1, 2)
        assert result.contradictory == contradictory
        assert result.count == 25
    printed = json.loads(kvgg("data", "check", "beans", "--against", "flat", "--json").stdout)
    assert printed["against"] == {"folder": "flat", "count": 2, "leaks": 1}
    text = kvgg("data", "check", "beans", "--against", "flat").stdout
    assert "1 of 2 photos are here too" in text


def test_the_tables_name_what_was_found(beans: Path) -> None:
    """One line a figure, then the duplicates, the worst first, and the files."""
    lines = kvgg("data", "check", "beans", "--seed", "5").stdout.splitlines()
    cells = [re.findall(r"[^│┃]+", line) for line in lines if line.startswith(("│", "┃"))]
    rows = [[cell.strip() for cell in row] for row in cells]
    figures = {row[0]: row[1] for row in rows if len(row) == 2}
    assert lines[0] == "Photos in beans"
    assert figures["photos"] == "25 in 2 classes"
    assert figures["class sizes"] == "nearly even: 11 to 14"
    assert figures["pixels"] == "64 x 64 (23), 64 x 20 (1)"
    assert (figures["unreadable"], figures["odd"]) == ("1", "5")
    assert figures["duplicates"] == "groups: 1 exact, 1 near"
    assert figures["contradictory"] == "groups in several classes: 1"
    assert [row[:3] for row in rows if row[0].startswith(("1 ", "2 "))] == [
        ["1 near", "a/02.png", "a"],
        ["1 near", "b/not b.jpg", "b"],
        ["2 exact", "a/00.png", "a"],
        ["2 exact", "a/copy.png", "a"],
    ]
    assert ["a/flat.png", "has only one color"] in rows


def test_uneven_classes_and_long_lists_are_told_shortly(photos: Path) -> None:
    """Three times the photos is worth a word; of many rows the first twenty are shown."""
    for number in range(4, 12):
        (photos / "green" / f"green_{number:02}.png").unlink()
    for number in range(12):
        shutil.copy(photos / "red" / f"red_{number:02}.png", photos / "red" / f"again_{number}.png")
    text = " ".join(re.sub("[│┃]", " ", kvgg("data", "check", photos).stdout).split())
    assert "uneven: red has 6.0 times the photos of green (24 and 4)" in text
    assert "and 4 more: --json and --html FILE have all" in text


def test_what_cannot_be_checked_is_a_data_error(beans: Path) -> None:
    """The messages of train; and a folder is not compared with itself."""
    assert message(kvgg("data", "check", "nowhere")) == (
        "Error: nowhere does not exist. Expected nowhere/<class>/<image files>.\n"
    )
    assert message(kvgg("data", "check", "beans", "--against", "./beans")) == (
        "Error: beans is the folder itself; --against needs another.\n"
    )
    with pytest.raises(DataError):
        check_data(beans, against="nowhere")


# What train says of copies


@pytest.fixture
def only_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the folder of `photos`, where `train` ends once they are read."""
    monkeypatch.setattr(trainer, "_run", lambda *_, **__: None)
    monkeypatch.setattr("kvgg_jax.cli.text.results.train_text", lambda *_: None)
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("only_read")
def test_train_warns_of_copies_in_one_line(photos: Path) -> None:
    """Exact ones only, by the digests it makes anyway, and where to see them."""
    words = ("train", "--data", "photos", *TINY, "--name")
    assert "Exact copies" not in kvgg(*words, "a").stderr
    shutil.copy(photos / "red" / "red_00.png", photos / "green" / "red.png")
    warned = [line for line in kvgg(*words, "b").stderr.splitlines() if "Exact copies" in line]
    leaks = check_data(photos).split_leaks
    also = f" on both sides of the split: {leaks};" * bool(leaks)
    assert warned == [
        f"Exact copies of other photos: 1;{also} in several classes: 1. "
        f"See them: kvgg data check {photos}"
    ]


@pytest.mark.usefixtures("only_read")
def test_train_warns_of_a_class_without_validation_photos(photos: Path) -> None:
    """All of red are for training with `keras`, which looks at no class."""
    for photo in sorted((photos / "red").iterdir())[1:]:
        photo.unlink()
    samples = scan(photos)
    seed = next(
        seed
        for seed in range(99)
        if "red" not in str(split_samples(samples, val_split=0.2, seed=seed).val.paths)
    )
    stderr_console = kvgg("train", "--data", "photos", *TINY, "--seed", str(seed)).stderr
    assert "No validation photo of red: the accuracy says nothing of it" in stderr_console


def test_copies_that_were_grouped_are_no_news(photos: Path) -> None:
    """Unless their labels contradict each other."""
    split = split_samples(scan(photos), val_split=0.2, seed=42)
    digests = [*split.all.paths]
    assert copies_warning(split, digests, grouped=False) is None
    digests[len(split.train)] = digests[0]
    same = split.train.labels[0] == split.val.labels[0]
    warning = copies_warning(split, digests, grouped=False)
    assert warning is not None
    assert warning.startswith("Exact copies of other photos: 1; on both sides of the split: 1")
    assert (copies_warning(split, digests, grouped=True) is None) == same


def test_the_coffee_photos_are_checked(checked: Check) -> None:
    """Two validation photos of seed 42 are in the training part too; nothing is contradictory."""
    assert (len(checked.duplicates), checked.contradictory, checked.split_leaks) == (7, 0, 2)
    assert (checked.sizes, checked.bad, checked.odd) == ({"224 x 224": 1200}, (), ())
    assert checked.color_tells


def test_a_existing_split_is_taken_as_it_is(beans: Path) -> None:
    """Photos that came since are no part of it, and do not change it."""
    config = small_config(beans, data={"split_seed": 3})
    split = split_photos(config, scan(beans))
    before = check_data(beans, config=config)
    scene(41, 64).save(beans / "a" / "new.png")
    after = check_data(beans, config=config, split=split)
    assert (after.count, after.parts, after.split_leaks) == (
        before.count,
        before.parts,
        before.split_leaks,
    )
    assert check_data(beans, config=config).count == before.count + 1
