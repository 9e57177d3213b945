"""A folder of photos as values: what is found, in which order, and which part each is dealt to."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from kvgg_jax.core.errors import DataError
from kvgg_jax.core.keras_gate import keras
from kvgg_jax.core.tf_gate import tf  # noqa: F401  (Keras lists folders through it)
from kvgg_jax.data.folder import Samples, find_images, scan
from kvgg_jax.data.split import Split, split_from_csv, split_samples, split_to_csv

KINDS = {".JPG": "JPEG", ".png": "PNG", ".Jpeg": "JPEG", ".bmp": "BMP", ".gif": "GIF"}


def picture(path: Path, kind: str = "PNG") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (2, 2), "red").save(path, kind)
    return path


def text(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("no picture")
    return path


def two_classes(root: Path) -> Path:
    picture(root / "a" / "1.png")
    picture(root / "b" / "1.png")
    return root


def mixed_folder(root: Path) -> Path:
    """Three classes of unlike size, nested folders and every suffix that Keras reads."""
    for name, count in (("ripe", 17), ("Green", 11), ("over ripe", 9)):
        for i in range(count):
            suffix = list(KINDS)[i % len(KINDS)]
            inner = ("", "day 1", "day 1/late", "day-2")[i % 4]
            picture(root / name / inner / f"{'zI'[i % 2]}{i * 7 % 10}{i}{suffix}", KINDS[suffix])
    return root


def keras_split(root: Path, *, val_split: float = 0.2, seed: int = 42) -> Split:
    """The same two parts, dealt by Keras itself."""
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
            Samples(root, paths, tuple(classes.index(p.split("/")[0]) for p in paths), classes)
        )
    return Split(*parts)


def test_pictures_are_listed_by_class_folder_and_name(tmp_path: Path) -> None:
    """Sorted by bytes at each level, so that every file system gives the same list."""
    for name in ("b/2.png", "b/10.png", "a/z.png", "a/Z.png", "B/1.png"):
        picture(tmp_path / name)
    assert scan(tmp_path) == Samples(
        root=tmp_path,
        paths=("B/1.png", "a/Z.png", "a/z.png", "b/10.png", "b/2.png"),
        labels=(0, 1, 1, 2, 2),
        classes=("B", "a", "b"),
    )


def test_the_order_does_not_depend_on_the_file_system(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder listed backwards gives the same samples."""
    mixed_folder(tmp_path)
    expected, walk, listdir = scan(tmp_path), os.walk, os.listdir

    def backwards(top: Path, **options: Any) -> list[tuple[str, list[str], list[str]]]:
        return [(p, d[::-1], n[::-1]) for p, d, n in walk(top, **options)][::-1]

    monkeypatch.setattr(os, "walk", backwards)
    monkeypatch.setattr(os, "listdir", lambda path: sorted(listdir(path))[::-1])
    assert scan(tmp_path) == expected


def test_hidden_files_and_folders_do_not_count(tmp_path: Path) -> None:
    """What an operating system or an editor leaves behind is no photo."""
    two_classes(tmp_path)
    for name in (".git/x.png", "a/._1.png", "a/.cache/2.png", "a/in/.3.png", "a/in/.4/5.png"):
        picture(tmp_path / name)
    assert scan(tmp_path).paths == ("a/1.png", "b/1.png")


def test_a_picture_without_a_suffix_is_found_by_its_content(tmp_path: Path) -> None:
    """`IMG_0001` may be a JPEG; `photo.txt` may be a PNG."""
    two_classes(tmp_path)
    picture(tmp_path / "a" / "IMG_0001", "JPEG")
    picture(tmp_path / "b" / "photo.txt", "PNG")
    assert scan(tmp_path).paths == ("a/1.png", "a/IMG_0001", "b/1.png", "b/photo.txt")


def test_other_files_are_left_alone(tmp_path: Path) -> None:
    """Texts, empty files, and files beside the class folders are not pictures."""
    two_classes(tmp_path)
    text(tmp_path / "a" / "notes.txt")
    (tmp_path / "a" / "empty").touch()
    picture(tmp_path / "cover.png")
    assert scan(tmp_path).paths == ("a/1.png", "b/1.png")


def test_a_file_that_says_it_is_a_picture_is_listed_whatever_it_holds(tmp_path: Path) -> None:
    """The reader then names it; to leave it out in silence would change the data set."""
    two_classes(tmp_path)
    text(tmp_path / "a" / "2.JPEG")
    (tmp_path / "b" / "gone").symlink_to(tmp_path / "nowhere")
    assert scan(tmp_path).paths == ("a/1.png", "a/2.JPEG", "b/1.png", "b/gone")


def test_samples_open_by_root_and_path(tmp_path: Path) -> None:
    """`files` are the paths below the folder that was scanned."""
    two_classes(tmp_path)
    assert scan(tmp_path).files() == [tmp_path / "a" / "1.png", tmp_path / "b" / "1.png"]


def test_take_and_relabel_keep_path_and_class_together() -> None:
    """Other numbers for the classes, the same class for each path."""
    samples = Samples(Path("r"), ("a/1", "b/1", "b/2"), (0, 1, 1), ("a", "b"))
    assert samples.take([2, 0]) == Samples(Path("r"), ("b/2", "a/1"), (1, 0), ("a", "b"))
    assert samples.relabel(("b", "c", "a")) == Samples(
        Path("r"), ("a/1", "b/1", "b/2"), (2, 0, 0), ("b", "c", "a")
    )


def test_files_to_predict_are_kept_and_folders_replaced_by_their_pictures(tmp_path: Path) -> None:
    """A file is taken at the user's word, even when it is missing: predict reports it."""
    inner = picture(tmp_path / "some" / "b" / "2.png")
    first = picture(tmp_path / "some" / "b.png")
    text(tmp_path / "some" / "notes.txt")
    gone = tmp_path / "gone.jpg"
    assert find_images([gone, tmp_path / "some"]) == [gone, first, inner]


@pytest.mark.parametrize(("val_split", "seed"), [(0.2, 42), (0.35, 7)])
def test_the_default_split_is_that_of_keras(tmp_path: Path, val_split: float, seed: int) -> None:
    """Same files in the same order in both parts as `image_dataset_from_directory` deals."""
    root = mixed_folder(tmp_path / "photos")
    dealt = split_samples(scan(root), val_split=val_split, seed=seed)
    assert dealt == keras_split(root, val_split=val_split, seed=seed)
    assert (len(dealt.train), len(dealt.val)) == (37 - int(37 * val_split), int(37 * val_split))


def test_the_coffee_photos_are_dealt_as_by_keras(coffee: Path) -> None:
    """960 and 240 photos, file by file in the order of Keras."""
    dealt = split_samples(scan(coffee), val_split=0.2, seed=42)
    assert dealt == keras_split(coffee)
    assert (len(dealt.train), len(dealt.val)) == (960, 240)


def test_another_seed_deals_another_split(tmp_path: Path) -> None:
    """The seed reaches both ways of dealing."""
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
    """int(val_split * n) of the n pictures of a class are for validation; none is lost or twice."""
    labels = tuple(k for k, count in enumerate(counts) for _ in range(count))
    samples = Samples(
        Path("r"), tuple(map(str, range(len(labels)))), labels, tuple(map(str, range(len(counts))))
    )
    expected = {k: int(val_split * n) for k, n in enumerate(counts)}
    if not 0 < sum(expected.values()) < len(labels):
        return
    dealt = split_samples(samples, val_split=val_split, seed=seed, how="stratified")
    assert {k: Counter(dealt.val.labels)[k] for k in expected} == expected
    assert sorted(dealt.all.paths, key=int) == list(samples.paths)
    assert all(labels[int(p)] == k for p, k in zip(dealt.all.paths, dealt.all.labels, strict=True))


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
    samples = Samples(Path("r"), paths, labels, names)
    rows = list(range(len(files)))
    split = Split(samples.take(rows[:cut]), samples.take(rows[cut:]))
    assert split_from_csv(split_to_csv(split), root=Path("r"), classes=names) == split


def test_split_csv_is_readable() -> None:
    """Three columns: path, class, part; training first."""
    samples = Samples(Path("r"), ("a/1.png", "b/2, 3.png"), (0, 1), ("a", "b"))
    split = Split(samples.take([1]), samples.take([0]))
    assert split_to_csv(split) == 'path,class,part\n"b/2, 3.png",b,train\na/1.png,a,val\n'


@pytest.mark.parametrize(
    ("table", "reason"),
    [
        ("", "expected the columns path,class,part"),
        ("file,class,part\n", "expected the columns path,class,part"),
        (
            "path,class,part\nx,a,test\n",
            "['x', 'a', 'test'] is not a path, one of the run's classes, and train or val",
        ),
        (
            "path,class,part\nx,c,val\n",
            "['x', 'c', 'val'] is not a path, one of the run's classes, and train or val",
        ),
        (
            "path,class,part\nx,a\n",
            "['x', 'a'] is not a path, one of the run's classes, and train or val",
        ),
    ],
)
def test_a_damaged_split_csv_says_where(table: str, reason: str) -> None:
    """The row that cannot be, as it stands there."""
    with pytest.raises(ValueError, match=f"^{re.escape(reason)}$"):
        split_from_csv(table, root=Path("r"), classes=("a", "b"))


def refuse(*_: object, **__: object) -> Any:
    raise PermissionError(13, "Permission denied", "secret")


BAD_FOLDERS: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (lambda root: None, "{root} does not exist. Expected {root}/<class>/<image files>."),
    "file": (text, "{root} is a file, not a folder. Expected {root}/<class>/<image files>."),
    "empty": (Path.mkdir, "{root} has no class folders. Expected {root}/<class>/<image files>."),
    "flat": (
        lambda root: picture(root / "1.png"),
        "{root} has no class folders. Expected {root}/<class>/<image files>.",
    ),
    "one class": (
        lambda root: picture(root / "Dark" / "1.png"),
        "{root} has 1 class folder ('Dark'); a classifier needs 2. "
        "Expected {root}/<class>/<image files>.",
    ),
    "no images": (
        lambda root: [text(root / "a" / "1.txt"), text(root / "b" / "1.txt")],
        "{root} has no images in its class folders. Expected {root}/<class>/<image files>.",
    ),
    "empty class": (
        lambda root: [picture(root / "a" / "1.png"), (root / "b").mkdir()],
        "{root}/b has no images. Add photos of class 'b', or remove the folder.",
    ),
}


@pytest.mark.parametrize("case", BAD_FOLDERS)
def test_a_folder_that_will_not_do_is_explained(tmp_path: Path, case: str) -> None:
    """What, where, and what is expected instead."""
    make, message = BAD_FOLDERS[case]
    root = tmp_path / "beans"
    make(root)
    with pytest.raises(DataError) as caught:
        scan(root)
    assert str(caught.value) == message.format(root=root)


@pytest.mark.parametrize("names", [("train", "test"), ("Train", "val", "valid")])
def test_parts_of_a_split_are_not_taken_for_classes(tmp_path: Path, names) -> None:
    """Else a network would learn to tell them; which two are meant is not guessed."""
    for name in names:
        two_classes(tmp_path / name)
    with pytest.raises(DataError) as caught:
        scan(tmp_path)
    first, other = sorted(names, key=lambda name: name.lower() != "train")[:2]
    assert str(caught.value) == (
        f"{tmp_path} contains {' and '.join(sorted(names))}, the parts of a split, instead of "
        f"classes. Use one part: --data {tmp_path / first} to train, which splits it again, and "
        f"--data {tmp_path / other} to evaluate."
    )
    assert scan(tmp_path / first).classes == ("a", "b")


def test_classes_may_be_called_train_and_test(tmp_path: Path) -> None:
    """Where pictures lie in them at once, or another class is beside them, they are classes."""
    picture(tmp_path / "train" / "1.png")
    picture(tmp_path / "test" / "1.png")
    assert scan(tmp_path).classes == ("test", "train")
    (tmp_path / "train" / "@eaDir").mkdir()
    assert scan(tmp_path).classes == ("test", "train")
    picture(tmp_path / "bus" / "1.png")
    picture(tmp_path / "train" / "old" / "2.png")
    assert scan(tmp_path).classes == ("bus", "test", "train")


def test_a_picture_in_a_format_that_is_not_read_is_not_passed_over(tmp_path: Path) -> None:
    """`read` then names it: training on the other photos alone would be a surprise."""
    two_classes(tmp_path)
    (tmp_path / "a" / "IMG_1.HEIC").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0")
    (tmp_path / "a" / "IMG_1.MOV").write_bytes(b"\0\0\0\x14ftypqt  \0\0\0\0")
    assert scan(tmp_path).paths == ("a/1.png", "a/IMG_1.HEIC", "b/1.png")


@pytest.mark.parametrize(("call", "where"), [("listdir", "{root}"), ("scandir", "secret")])
def test_a_folder_that_cannot_be_listed_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, where: str
) -> None:
    """Without this, `os.walk` would leave such a folder out in silence."""
    two_classes(tmp_path)
    monkeypatch.setattr(os, call, refuse)
    with pytest.raises(DataError) as caught:
        scan(tmp_path)
    assert str(caught.value) == f"Cannot list {where.format(root=tmp_path)}: Permission denied."


@pytest.mark.parametrize(("val_split", "train", "val"), [(0.1, 5, 0), (0.9999, 1, 4)])
def test_each_part_needs_a_picture(val_split: float, train: int, val: int) -> None:
    """Too few photos for a share: the numbers, and what to change."""
    samples = Samples(Path("beans"), tuple("12345"), (0, 0, 0, 1, 1), ("a", "b"))
    if val == 0:
        with pytest.raises(DataError) as caught:
            split_samples(samples, val_split=val_split, seed=0)
        assert str(caught.value) == (
            "beans: 5 images with `data.val_split = 0.1` leave 5 for training and 0 for "
            "validation; each needs at least 1. Add photos or change the share."
        )
    else:
        dealt = split_samples(samples, val_split=val_split, seed=0)
        assert (len(dealt.train), len(dealt.val)) == (train, val)


def test_a_deal_is_a_permutation_of_numpy() -> None:
    """`RandomState(seed).shuffle`, which NumPy keeps stable for ever (NEP 19)."""
    samples = Samples(Path("r"), tuple("abcdef"), (0, 0, 0, 1, 1, 1), ("a", "b"))
    order = np.arange(6)
    np.random.RandomState(3).shuffle(order)
    assert split_samples(samples, val_split=0.5, seed=3) == Split(
        samples.take(order[:3].tolist()), samples.take(order[3:].tolist())
    )
