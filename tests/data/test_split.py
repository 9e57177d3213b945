"""Which photos are for training and which for validation."""

from __future__ import annotations

import csv
import os
import re
import tracemalloc
from collections import Counter
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvgg_jax.core.errors import DataError
from kvgg_jax.core.files import ROWS, open_lines, write_text
from kvgg_jax.core.keras_gate import keras
from kvgg_jax.core.tf_gate import tf  # noqa: F401  (Keras lists folders through it)
from kvgg_jax.data.columns import Numbers, Texts
from kvgg_jax.data.samples import Samples
from kvgg_jax.data.sources.folder import Folder, scan
from kvgg_jax.data.split import Split, split_from_csv, split_samples, split_to_csv
from support.folders import mixed_folder


def keras_split(root: Path, *, val_split: float = 0.2, seed: int = 42) -> Split:
    """The same two parts, as Keras itself splits them."""
    parts = []
    for subset in ("training", "validation"):
        dataset = keras.utils.image_dataset_from_directory(
            root,
            validation_split=val_split,
            subset=subset,
            seed=seed,
            shuffle=True,
            image_size=(2, 2),
            verbose=False,
        )
        paths = tuple(Path(p).relative_to(root).as_posix() for p in dataset.file_paths)
        classes = tuple(dataset.class_names)
        parts.append(
            Samples(
                Folder(root), paths, tuple(classes.index(p.split("/")[0]) for p in paths), classes
            )
        )
    return Split(*parts)


@pytest.mark.parametrize(("val_split", "seed"), [(0.2, 42), (0.35, 7)])
def test_the_default_split_is_that_of_keras(tmp_path: Path, val_split: float, seed: int) -> None:
    """Same files in the same order in both parts as `image_dataset_from_directory`."""
    root = mixed_folder(tmp_path / "photos")
    split = split_samples(scan(root), val_split=val_split, seed=seed)
    assert split == keras_split(root, val_split=val_split, seed=seed)
    assert (len(split.train), len(split.val)) == (37 - int(37 * val_split), int(37 * val_split))


def test_the_coffee_photos_are_split_as_by_keras(coffee: Path) -> None:
    """960 and 240 photos, file by file in the order of Keras."""
    split = split_samples(scan(coffee), val_split=0.2, seed=42)
    assert split == keras_split(coffee)
    assert (len(split.train), len(split.val)) == (960, 240)


def test_another_seed_gives_another_split(tmp_path: Path) -> None:
    """The seed reaches both ways to split."""
    samples = scan(mixed_folder(tmp_path))
    for how in ("keras", "stratified"):
        first, other = (split_samples(samples, val_split=0.2, seed=s, how=how) for s in (1, 2))
        assert set(first.val.paths) != set(other.val.paths)


@settings(deadline=None)
@given(
    counts=st.lists(st.integers(1, 40), min_size=2, max_size=5),
    val_split=st.floats(0.05, 0.95),
    seed=st.integers(0, 2**32 - 1),
)
def test_a_stratified_split_keeps_the_share_of_each_class(
    counts: list[int], val_split: float, seed: int
) -> None:
    """int(val_split * n) of the n images of a class are for validation; none is lost or twice."""
    labels = tuple(k for k, count in enumerate(counts) for _ in range(count))
    samples = Samples(
        Folder(Path("r")),
        tuple(map(str, range(len(labels)))),
        labels,
        tuple(map(str, range(len(counts)))),
    )
    expected = {k: int(val_split * n) for k, n in enumerate(counts)}
    if not 0 < sum(expected.values()) < len(labels):
        return
    split = split_samples(samples, val_split=val_split, seed=seed, how="stratified")
    assert {k: Counter(split.val.labels)[k] for k in expected} == expected
    assert sorted(split.all.paths, key=int) == list(samples.paths)
    assert all(labels[int(p)] == k for p, k in zip(split.all.paths, split.all.labels, strict=True))


@pytest.mark.parametrize("how", ["keras", "stratified"])
def test_a_third_part_takes_nothing_from_validation(tmp_path: Path, how: str) -> None:
    """The validation photos are those without it, the test photos those of any `val_split`."""
    samples = scan(mixed_folder(tmp_path))
    two = split_samples(samples, val_split=0.2, seed=3, how=how)
    assert two.test is None
    found = [
        split_samples(samples, val_split=share, seed=3, how=how, test_split=0.25)
        for share in (0.2, 0.3)
    ]
    assert found[0].val == two.val
    assert found[0].test == found[1].test
    for split in found:
        paths = [path for _, part in split.parts() for path in part.paths]
        assert sorted(paths) == sorted(samples.paths)
        lines = StringIO("".join(split_to_csv(split)), newline="\n")
        assert split_from_csv(lines, source=samples.source, classes=samples.classes) == split
    assert found[0].test is not None
    shares = Counter(samples.labels) if how == "stratified" else {0: len(samples)}
    assert len(found[0].test) == sum(int(0.25 * count) for count in shares.values())


NAMES = st.one_of(
    st.text(st.characters(exclude_characters="\0/", exclude_categories=("Cs",)), min_size=1),
    st.binary(min_size=1).filter(lambda name: not set(name) & set(b"\0/")).map(os.fsdecode),
    st.sampled_from(["a,b", 'say "x"', "two\nlines", "Icon\r", "été", "\udcff\udcfe", "=1+1"]),
)


@settings(deadline=None)
@given(
    classes=st.lists(NAMES, min_size=2, max_size=3, unique=True),
    files=st.lists(NAMES, min_size=2, max_size=8, unique=True),
    cut=st.integers(1, 7),
)
def test_a_split_comes_back_from_its_csv(classes: list[str], files: list[str], cut: int) -> None:
    """Commas, quotes, line ends and bytes that are not UTF-8 are names like others."""
    names = tuple(classes)
    labels = tuple(i % len(names) for i in range(len(files)))
    paths = tuple(f"{names[k]}/{file}" for k, file in zip(labels, files, strict=True))
    samples = Samples(Folder(Path("r")), paths, labels, names)
    rows = list(range(len(files)))
    split = Split(samples.take(rows[:cut]), samples.take(rows[cut:]))
    lines = StringIO("".join(split_to_csv(split)), newline="\n")
    assert split_from_csv(lines, source=Folder(Path("r")), classes=names) == split


@pytest.mark.parametrize("odd", ["", "Icon\r"])
def test_a_large_split_is_written_in_several_texts(odd: str) -> None:
    """Of the same bytes as in one: all is quoted where one name needs it."""
    count = 2 * ROWS
    paths = [f"b/{row}" for row in range(count - 1)] + [f"b/{odd}"]
    samples = Samples(Folder(Path("r")), paths, [1] * count, ("a", "b"))
    texts = list(split_to_csv(Split(samples.take(range(1, count)), samples.take([0]))))
    whole, quoting = StringIO(), csv.QUOTE_ALL if odd else csv.QUOTE_MINIMAL
    writer = csv.writer(whole, lineterminator="\n", quoting=quoting)
    writer.writerow(["path", "class", "part"])
    writer.writerows([path, "b", "train"] for path in paths[1:])
    writer.writerow([paths[0], "b", "val"])
    assert len(texts) == 3
    assert "".join(texts) == whole.getvalue()


def test_a_large_split_takes_little_memory(tmp_path: Path) -> None:
    """Beside its samples, which keep 27 bytes of each path, and 20 more."""
    count = 20_000
    paths = Texts.of(f"class {row % 100:03}/photo {row:07}.png" for row in range(count))
    names = tuple(f"class {label:03}" for label in range(100))
    samples = Samples(Folder(Path("r")), paths, Numbers(np.arange(count) % 100), names)
    tracemalloc.start()
    split = split_samples(samples, val_split=0.2, seed=1)
    write_text(tmp_path / "split.csv", split_to_csv(split))
    with open_lines(tmp_path / "split.csv") as lines:
        split_from_csv(lines, source=samples.source, classes=names)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak / count < 130


def test_split_csv_is_readable() -> None:
    """Three columns: path, class, part; training first."""
    samples = Samples(Folder(Path("r")), ("a/1.png", "b/2, 3.png"), (0, 1), ("a", "b"))
    split = Split(samples.take([1]), samples.take([0]))
    assert "".join(split_to_csv(split)) == 'path,class,part\n"b/2, 3.png",b,train\na/1.png,a,val\n'


@pytest.mark.parametrize(
    ("table", "reason"),
    [
        ("", "expected the columns path,class,part"),
        ("file,class,part\n", "expected the columns path,class,part"),
        (
            "path,class,part\nx,a,dev\n",
            "['x', 'a', 'dev'] is not a path, one of the run's classes, and a part",
        ),
        (
            "path,class,part\nx,c,val\n",
            "['x', 'c', 'val'] is not a path, one of the run's classes, and a part",
        ),
        (
            "path,class,part\nx,a\n",
            "['x', 'a'] is not a path, one of the run's classes, and a part",
        ),
    ],
)
def test_a_damaged_split_csv_says_where(table: str, reason: str) -> None:
    """The row that cannot be, as it stands there."""
    with pytest.raises(ValueError, match=f"^{re.escape(reason)}$"):
        split_from_csv(table.splitlines(), source=Folder(Path("r")), classes=("a", "b"))


@pytest.mark.parametrize(("val_split", "train", "val"), [(0.1, 5, 0), (0.9999, 1, 4)])
def test_each_part_needs_an_image(val_split: float, train: int, val: int) -> None:
    """Too few photos for a share: the numbers, and what to change."""
    samples = Samples(Folder(Path("beans")), tuple("12345"), (0, 0, 0, 1, 1), ("a", "b"))
    if val == 0:
        with pytest.raises(DataError) as caught:
            split_samples(samples, val_split=val_split, seed=0)
        assert str(caught.value) == (
            "beans: 5 images with `data.val_split = 0.1` leave 5 for training and 0 for "
            "validation; each needs at least 1. Add photos or change the share."
        )
    else:
        split = split_samples(samples, val_split=val_split, seed=0)
        assert (len(split.train), len(split.val)) == (train, val)


def test_a_split_is_a_permutation_of_numpy() -> None:
    """`RandomState(seed).shuffle`, which NumPy keeps stable for ever (NEP 19)."""
    samples = Samples(Folder(Path("r")), tuple("abcdef"), (0, 0, 0, 1, 1, 1), ("a", "b"))
    order = np.arange(6)
    np.random.RandomState(3).shuffle(order)
    assert split_samples(samples, val_split=0.5, seed=3) == Split(
        samples.take(order[:3].tolist()), samples.take(order[3:].tolist())
    )
