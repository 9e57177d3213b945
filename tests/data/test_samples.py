"""Samples as a table: rows are taken and joined with all that belongs to them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from kvgg_jax.core.errors import DataError
from kvgg_jax.data.samples import Samples, check_classes, combine, join, reader
from kvgg_jax.data.sources.folder import Folder

ROOT = Folder(Path("r"))
THREE = Samples(
    ROOT,
    ("a/1", "b/1", "b/2"),
    (0, 1, 1),
    ("a", "b"),
    parts=("train", "val", "val"),
    groups=("x", "y", "z"),
    weights=(1.0, 2.0, 3.0),
)


def test_take_and_relabel_keep_path_and_class_together() -> None:
    """Other numbers for the classes, the same class for each path; and all columns."""
    assert THREE.take([2, 0]) == Samples(
        ROOT,
        ("b/2", "a/1"),
        (1, 0),
        ("a", "b"),
        parts=("val", "train"),
        groups=("z", "x"),
        weights=(3.0, 1.0),
    )
    assert THREE.relabel(("b", "c", "a")) == replace(
        THREE, labels=(2, 0, 0), classes=("b", "c", "a")
    )


def test_a_part_is_a_table_of_its_own() -> None:
    """It says no more of which part it is."""
    assert THREE.part("val") == replace(THREE, parts=None).take([1, 2])
    assert len(THREE.part("test")) == 0


def test_joined_samples_are_those_of_both() -> None:
    """In their order."""
    assert join(THREE.take([2]), THREE.take([0, 1])) == THREE.take([2, 0, 1])


def test_what_one_part_lacks_is_filled_in_where_parts_are_combined() -> None:
    """A photo without a group has one of its own, and counts once."""
    train = replace(THREE, parts=None).take([0, 1])
    val = replace(THREE, parts=None, groups=None, weights=None).take([2])
    found = combine(ROOT, {"train": ("t", train), "val": ("v", val)})
    assert found == Samples(
        ROOT,
        ("t/a/1", "t/b/1", "v/b/2"),
        (0, 1, 1),
        ("a", "b"),
        parts=("train", "train", "val"),
        groups=("x", "y", "v/b/2"),
        weights=(1.0, 2.0, 1.0),
    )


def test_a_reader_gives_what_the_source_has_and_other_files(tmp_path: Path) -> None:
    """By the path that messages show, which need not be one of a file."""

    class InMemory(Folder):
        def read(self, key: str) -> bytes:
            return key.encode()

    (tmp_path / "other").write_bytes(b"\xff\xd8\xff other")
    read = reader(replace(THREE, source=InMemory(Path("zip"))))
    assert [read(Path("zip/a/1")), read(tmp_path / "other")] == [b"a/1", b"\xff\xd8\xff other"]


def test_unknown_classes_are_named() -> None:
    """With those that are known."""
    check_classes(THREE, ("a", "b", "c"), of="runs/x")
    with pytest.raises(DataError) as caught:
        check_classes(THREE, ("a", "c"), of="runs/x")
    assert str(caught.value) == ("r has classes that runs/x does not know: b. It knows: a, c.")
