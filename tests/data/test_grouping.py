"""Splits as configured, with duplicates kept together; and splits that the folders make."""

from __future__ import annotations

import json
import shutil
import tracemalloc
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from kvgg_jax.core.config import RunConfig
from kvgg_jax.core.errors import DataError
from kvgg_jax.core.events import Event, Note, Warned
from kvgg_jax.data import grouping
from kvgg_jax.data.audit.findings import Check
from kvgg_jax.data.grouping import fill, find_groups, how_split, split_photos
from kvgg_jax.data.samples import Samples
from kvgg_jax.data.sources.folder import Folder, scan
from kvgg_jax.data.sources.listing import scan_list
from kvgg_jax.data.split import Split, split_samples
from kvgg_jax.runs.folder import Run
from kvgg_jax.training import trainer
from support.commands import TINY, kvgg, message
from support.folders import image
from support.runs import COLORS, draw_photos, small_config


@pytest.fixture
def copied(photos: Path) -> Path:
    """36 photos, and four more: three copies of one red, and a copy of a blue among the green."""
    for name in ("copy", "of", "red"):
        shutil.copy(photos / "red" / "red_03.png", photos / "red" / f"{name}.png")
    shutil.copy(photos / "blue" / "blue_07.png", photos / "green" / "not_green.png")
    return photos


TOGETHER = (
    {"red/red_03.png", "red/copy.png", "red/of.png", "red/red.png"},
    {"blue/blue_07.png", "green/not_green.png"},
)


def test_duplicates_stay_on_one_side(copied: Path) -> None:
    """Whatever the seed, also across classes; which side is the seed's choice alone."""
    samples, sides = scan(copied), set()
    for seed in range(8):
        config = small_config(copied, data={"split": "grouped", "split_seed": seed})
        split = split_photos(config, samples)
        val = set(split.val.paths)
        assert all(group <= val or not group & val for group in TOGETHER)
        assert sorted(split.all.paths) == sorted(samples.paths)
        assert split == split_photos(config, samples)
        sides.add(TOGETHER[1] <= val)
    assert sides == {True, False}


def test_a_message_says_how_many_duplicates_there_are(copied: Path) -> None:
    """One line, before the photos are split."""
    heard: list[Event] = []
    find_groups(scan(copied), emit=heard.append)
    assert [event.text for event in heard if isinstance(event, Note)] == [
        "Duplicates: 6 photos in 2 groups, of 40 photos; a group stays on one side of a split"
    ]


def test_other_splits_do_not_look_for_duplicates(copied: Path) -> None:
    """They are split as before, and no photo is read for it."""
    for how in ("keras", "stratified"):
        heard: list[Event] = []
        config = small_config(copied, data={"split": how})
        split = split_samples(scan(copied), val_split=0.2, seed=42, how=how)
        assert split_photos(config, scan(copied), emit=heard.append) == split
        assert heard == []


@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 30)), min_size=40, max_size=80),
    st.integers(0, 2**32 - 1),
)
@settings(max_examples=30, deadline=None)
def test_groups_are_whole_and_shares_about_kept(pairs: list[tuple[int, int]], seed: int) -> None:
    """Every group in one part; each part's size off by no more than the largest group."""
    labels, groups = [label for label, _ in pairs], np.array([group for _, group in pairs])
    parts = fill(labels, groups, (0.25, 0.25, 0.5), seed=seed)
    for group in set(groups.tolist()):
        assert len(set(parts[groups == group].tolist())) == 1
    largest = max(Counter(groups.tolist()).values())
    for part, share in enumerate((0.25, 0.25, 0.5)):
        assert abs((parts == part).sum() - share * len(pairs)) <= largest


def dense_fill(labels: list[int], groups: NDArray[np.int64], shares: list[float], seed: int):
    """What `fill` computes, with a table of groups and classes that is nearly all zeros."""
    names, group = np.unique(groups, return_inverse=True)
    counts = np.zeros((len(names), max(labels) + 2))
    np.add.at(counts, (group, np.array(labels)), 1)
    counts[:, -1] = counts.sum(axis=1)
    wanted = np.outer(shares, counts.sum(axis=0))
    lacking, scale = wanted.copy(), np.maximum(wanted, 1e-9)
    scale[:, -1] *= 1000
    random = np.random.RandomState(seed)
    order = random.permutation(len(names))
    order = order[np.argsort(-counts[order, -1], kind="stable")]
    part = random.choice(len(shares), len(names), p=shares)
    for one in order:
        more = counts[one]
        if (lacking[part[one]] < more).any():
            part[one] = np.argmin((more * (more - 2 * lacking) / scale).sum(axis=1))
        lacking[part[one]] -= more
    return part[group]


@given(
    pairs=st.lists(st.tuples(st.integers(0, 20), st.integers(0, 60)), min_size=2, max_size=120),
    shares=st.sampled_from([[0.2, 0.8], [0.25] * 4]),
    seed=st.integers(0, 2**32 - 1),
)
@settings(max_examples=50, deadline=None)
def test_sparse_counts_give_the_parts_that_dense_ones_give(
    pairs: list[tuple[int, int]], shares: list[float], seed: int
) -> None:
    """To the photo, so that the split of a seed does not depend on the version of the program."""
    labels, groups = [label for label, _ in pairs], np.array([group for _, group in pairs])
    expected = dense_fill(labels, groups, shares, seed)
    assert fill(labels, groups, shares, seed=seed).tolist() == expected.tolist()


def test_memory_does_not_grow_with_photos_times_classes() -> None:
    """8,000 photos of 800 classes: 51 MB as a table, here less than a tenth of that."""
    labels = [i % 800 for i in range(8000)]
    tracemalloc.start()
    try:
        parts = fill(labels, np.arange(8000), [0.2, 0.8], seed=1)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert Counter(zip(labels, parts.tolist(), strict=True)) == {
        (label, part): (2, 8)[part] for label in range(800) for part in (0, 1)
    }
    assert peak < 5_000_000


@pytest.mark.parametrize("seed", range(3))
def test_without_duplicates_the_shares_are_exact(seed: int) -> None:
    """In all and in each class; each photo is as likely as another to be for validation."""
    labels = [k for k, count in enumerate((100, 50, 10)) for _ in range(count)]
    parts = fill(labels, np.arange(160), (0.8, 0.2), seed=seed)
    counts: NDArray[np.int64] = np.zeros((2, 3), np.int64)
    np.add.at(counts, (parts, labels), 1)
    assert counts.tolist() == [[80, 40, 8], [20, 10, 2]]
    often = sum(fill(labels, np.arange(160), (0.8, 0.2), seed=s) for s in range(200))
    assert 15 < often[:100].min() < 40 < often[:100].max() < 70  # 40 of 200 expected, sd 5.7


def test_a_class_of_one_group_is_for_training() -> None:
    """Else the network would never see it."""
    labels, groups = [0] * 20 + [1] * 8, np.array([*range(20), *[20] * 8])
    for seed in range(5):
        assert set(fill(labels, groups, (0.8, 0.2), seed=seed)[20:].tolist()) == {0}


def test_photos_that_are_all_one_cannot_be_split(tmp_path: Path, photos: Path) -> None:
    """The message is that of every split that leaves a part empty."""
    for name in ("a", "b"):
        (tmp_path / "same" / name).mkdir(parents=True)
        shutil.copy(photos / "red" / "red_00.png", tmp_path / "same" / name / "x.png")
    root = tmp_path / "same"
    with pytest.raises(DataError) as caught:
        split_photos(small_config(root, data={"split": "grouped"}), scan(root))
    assert str(caught.value) == (
        f"{root}: 2 images with `data.val_split = 0.2` leave 2 for training and 0 for validation; "
        "each needs at least 1. Add photos or change the share."
    )


def test_a_grouped_run_keeps_its_split_and_resumes_with_it(
    copied: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """split.csv holds it as ever; a resume reads it there and compares no photos again."""
    config, started = small_config(copied, data={"split": "grouped"}), []
    monkeypatch.setattr(trainer, "_run", lambda run, *_, **__: started.append(run.split()))
    trainer.train(config, out=tmp_path, name="x")
    monkeypatch.setattr(grouping, "inspect_photos", None)
    trainer.resume(tmp_path / "x")
    first, again = started
    assert first == again
    assert first == Run(tmp_path / "x").split()


def test_the_coffee_photos_are_split_in_equal_shares(checked: Check) -> None:
    """60 of each class for validation, and no duplicate on both sides."""
    samples = scan(checked.folder)
    groups = np.arange(len(samples))
    for group in checked.duplicates:
        places = [samples.paths.index(f"{p.label}/{p.path.name}") for p in group.photos]
        groups[places] = places[0]
    config = small_config(checked.folder, data={"split": "grouped"})
    val = split_photos(config, samples, groups=groups).val
    assert Counter(val.labels) == {0: 60, 1: 60, 2: 60, 3: 60}
    held_out = groups[[samples.paths.index(path) for path in val.paths]]
    assert len(held_out) == np.isin(groups, held_out).sum()


# Folders with `train/` and `val/`: the split that somebody made is used as it is


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
    assert split.test is not None
    assert {path.split("/")[0] for path in split.test.paths} == {"test"}
    assert how_split(config, split) == "given"
    line = f"{parts} is split already: 24 for training, 12 for validation, 36 for testing"
    assert heard == [Note(line)]


def test_a_part_for_testing_may_be_missing(parts: Path) -> None:
    """The line then says no more."""
    shutil.rmtree(parts / "test")
    heard: list[object] = []
    assert split_photos(RunConfig(), scan(parts), emit=heard.append).test is None
    line = f"{parts} is split already: 24 for training, 12 for validation"
    assert heard == [Note(line)]


def test_without_a_part_for_validation_training_photos_are_split(parts: Path) -> None:
    """As the settings say; those for testing stay."""
    shutil.rmtree(parts / "val")
    config = RunConfig(data={"val_split": 0.25, "split": "stratified"})
    split = split_photos(config, scan(parts))
    assert split.test is not None
    assert [len(part) for _, part in split.parts()] == [18, 6, 36]
    assert {path.split("/")[0] for path in split.all.paths} == {"train"}
    assert (split.given, how_split(config, split)) == (False, "stratified")


def test_a_third_part_is_not_split_off_photos_that_are_split(parts: Path) -> None:
    """Whether they have a part for testing or not: one of the two would be without effect."""
    config = RunConfig(data={"test_split": 0.1})
    for gone in (None, "test"):
        if gone:
            shutil.rmtree(parts / gone)
        with pytest.raises(DataError) as caught:
            split_photos(config, scan(parts))
        assert str(caught.value) == (
            f"{parts} is split already, and `data.test_split` divides photos that are not. "
            "Leave it out, or name test photos: `data.test`."
        )
    all_to_train = replace(scan(parts / "train"), parts=("train",) * 24)
    split = split_photos(config, all_to_train)
    assert [(name, len(part)) for name, part in split.parts()] == [
        ("train", 18),
        ("val", 4),
        ("test", 2),
    ]


def test_class_folders_are_split_as_the_settings_say(photos: Path) -> None:
    """Whatever the classes are called."""
    for old, new in (("blue", "train"), ("green", "val"), ("red", "test")):
        (photos / old).rename(photos / new)
    assert how_split(RunConfig(), split_photos(RunConfig(), scan(photos))) == "keras"


def test_a_class_that_training_lacks_is_refused(parts: Path) -> None:
    """No output of the network would be for it. A class that only training has is fine."""
    shutil.rmtree(parts / "val" / "red")
    assert len(scan(parts)) == 24 + 8 + 36
    (parts / "val" / "green").rename(parts / "val" / "gold")
    with pytest.raises(DataError) as caught:
        scan(parts)
    assert str(caught.value) == (
        f"{parts}/val has classes that {parts}/train does not know: gold. It knows: blue, green, "
        "red."
    )


def listed(root: Path, rows: list[str]) -> Samples:
    """Photos of `root/<group>/<class><number>.png`, each row as `path,label,group`."""
    (root / "list.csv").write_text("\n".join(["path,label,group", *rows]) + "\n")
    for row in rows:
        image(root / row.partition(",")[0])
    return scan_list(root / "list.csv")


def groups_on_both_sides(split: Split) -> set[str]:
    return set(split.train.groups or ()) & set(split.val.groups or ())


@settings(max_examples=25)
@given(sizes=st.lists(st.integers(1, 5), min_size=6, max_size=14), seed=st.integers(0, 99))
def test_a_group_never_stands_on_two_sides(sizes: list[int], seed: int) -> None:
    """Neither in a grouped split nor in any fold, whatever the sizes; both parts have photos."""
    rows = [
        (f"{group}/{k}.png", k % 2, f"lot {group}")
        for group, size in enumerate(sizes)
        for k in range(size + 1)
    ]
    paths, labels, groups = zip(*rows, strict=True)
    samples = Samples(Folder(Path("r")), paths, labels, ("a", "b"), groups=groups)
    alone = np.arange(len(samples))
    config = RunConfig(seed=seed, data={"split": "grouped", "val_split": 0.4})
    folds = [
        RunConfig(seed=seed, data={"split": how, "folds": 3, "fold": fold, "test_split": test})
        for how, test in (("grouped", None), ("stratified", None), ("grouped", 0.2))
        for fold in (1, 2, 3)
    ]
    tests = set()
    for one in (config, *folds):
        split = split_photos(one, samples, groups=alone)
        assert not groups_on_both_sides(split)
        assert sorted(p for _, part in split.parts() for p in part.paths) == sorted(paths)
        if split.test is not None:
            assert not set(split.test.groups or ()) & set(split.all.groups or ())
            tests.add(tuple(split.test.paths))
    assert len(tests) == 1  # all folds have the same


def test_duplicates_join_groups(tmp_path: Path) -> None:
    """Of two lots that share a photo, both stay on the side of the one."""
    rows = [f"{k}.png,{'ab'[k % 2]},lot {k // 2}" for k in range(12)]
    samples = listed(tmp_path, rows)
    same = np.array([0, 1, 0, *range(3, 12)])  # photo 2, of lot 1, is photo 0, of lot 0
    for seed in range(8):
        config = RunConfig(seed=seed, data={"split": "grouped", "val_split": 0.4})
        split = split_photos(config, samples, groups=same)
        sides = [{"lot 0", "lot 1"} & set(part.groups or ()) for _, part in split.parts()]
        assert sorted(map(len, sides)) == [0, 2]


def test_the_groups_of_a_list_are_not_divided_by_other_splits(tmp_path: Path) -> None:
    """The message names the split that keeps them."""
    samples = listed(tmp_path, ["1.png,a,x", "2.png,b,x", "3.png,a,y"])
    with pytest.raises(DataError) as caught:
        split_photos(RunConfig(), samples)
    assert str(caught.value) == (
        f"{tmp_path}: the photos have groups, and `data.split = keras` would divide them. Use "
        "`data.split = grouped`, or leave out the column."
    )


def test_groups_may_be_found_in_the_paths(photos: Path) -> None:
    """What the first parentheses match, or all; a Note says how many there are."""
    heard: list[object] = []
    samples = scan(photos)
    config = RunConfig(data={"split": "grouped", "group_by": r"_(\d)"})
    split = split_photos(config, samples, groups=np.arange(36), emit=heard.append)
    tens = [{path[-6] for path in part.paths} for part in (split.train, split.val)]
    assert not tens[0] & tens[1]
    assert heard == [Note("2 groups; each stays on one side of a split")]
    with pytest.raises(DataError) as caught:
        split_photos(config.with_data(group_by=r"_0(\d)"), samples, groups=np.arange(36))
    assert str(caught.value) == (
        "`data.group_by = _0(\\d)` finds nothing in 6 of 36 paths, such as blue/blue_10.png. "
        "Each photo needs a group."
    )


def test_groups_in_several_parts_of_a_given_split_are_a_warning(tmp_path: Path) -> None:
    """The split is the user's, so it stays."""
    rows = ["1.png,a,x", "2.png,b,y", "3.png,a,x"]
    samples = replace(listed(tmp_path, rows), parts=("train", "train", "val"))
    heard: list[object] = []
    split = split_photos(RunConfig(), samples, emit=heard.append)
    assert (len(split.train), len(split.val), split.given) == (2, 1, True)
    assert heard[-1] == Warned(
        "1 groups have photos in several parts of the given split, so the accuracy looks better "
        "than it is"
    )


def test_folds_are_refused(parts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are made from one folder; nothing is written."""
    monkeypatch.chdir(parts.parent)
    refused = kvgg("crossval", *TINY, "--data", parts, "--folds", "2")
    assert (refused.exit_code, message(refused).splitlines()[-1]) == (
        1,
        f"Error: {parts} is split already, and folds are made of photos that are not. Give one "
        "part alone: --data.",
    )
    assert list(Path("runs").rglob("*.csv")) == []


def test_the_check_looks_through_all_parts(parts: Path) -> None:
    """A copy across the parts is a leak, which no way to split prevents."""
    shutil.rmtree(parts / "test" / "blue")
    for file in (parts / "test").glob("*/*"):
        if file.name != "red_00.png":
            Image.effect_noise((32, 32), 99).convert("RGB").save(file)
    shutil.copy(parts / "train/red/red_00.png", parts / "val/red/copy.png")
    found = json.loads(kvgg("data", "check", parts, "--json").stdout)
    assert found["split"] == {
        "how": "given",
        "train": 24,
        "val": 13,
        "leaks": 1,
        "test": 24,
        "test_leaks": 1,
    }
    assert (found["count"], found["odd"]) == (61, [])
    text = " ".join(kvgg("data", "check", parts).stdout.replace("│", " ").split())
    assert (
        "1 of 13 validation photos are in training too (split as given); remove them from one "
        "part; 1 of 24 test photos are in another part"
    ) in text
