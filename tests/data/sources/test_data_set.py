"""What data sets of other libraries share, with one made up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from kvgg_jax.core.errors import DataError, ImageError
from kvgg_jax.core.places import Url
from kvgg_jax.data.columns import Categories
from kvgg_jax.data.sources.data_set import (
    DataSet,
    Photos,
    check_labels,
    choose_splits,
    is_data_set,
    reason_of,
    scan_data_set,
    split_address,
)


@dataclass(frozen=True, slots=True)
class Made(DataSet):
    """Classes of the photos of each split; the file of each is its number."""

    classes: Mapping[str, str]

    def splits(self) -> Mapping[str, Photos]:
        """As `DataSet` says."""
        return {
            name: Photos(Categories.of(classes), lambda i, all=classes: f"{all[i]}{i}".encode())
            for name, classes in self.classes.items()
        }


def refused(classes: Mapping[str, str]) -> str:
    with pytest.raises(DataError) as caught:
        scan_data_set(Made(Url("made:x"), classes))
    return str(caught.value)


def test_several_splits_are_parts() -> None:
    """Of one table; the classes are sorted, and may miss in a part."""
    found = scan_data_set(Made(Url("made:x"), {"validation": "b", "train": "bcab"}))
    assert (found.paths, found.labels, found.classes, found.parts) == (
        ("validation/000000", *(f"train/00000{i}" for i in range(4))),
        (1, 1, 2, 0, 1),
        ("a", "b", "c"),
        ("val", *["train"] * 4),
    )
    assert (found.read(2), found.name(2)) == (b"c1", "made:x/train/000001")
    assert scan_data_set(Made(Url("made:x"), {"dev": "ab"})).parts is None


@pytest.mark.parametrize("key", ["train/4", "dev/0", "train/x", "train"])
def test_a_photo_that_is_not_there_is_said_to_be_so(key: str) -> None:
    """Whatever is wrong with its key."""
    with pytest.raises(ImageError) as caught:
        Made(Url("made:x"), {"train": "ab"}).read(key)
    assert str(caught.value) == f"made:x/{key}: does not exist. Check the data set."


def test_splits_that_are_no_parts_have_to_be_named() -> None:
    """So have two of one part; one class is no class."""
    for splits in ({"small": "ab", "large": "ab"}, {"train": "ab", "training": "ab"}):
        first, other = splits
        assert refused(splits) == (
            f"made:x has the splits {first}, {other}, which are not train, validation and test. "
            f"Name one of each: --data made:x@{first}"
        )
    assert refused({"train": "aa"}) == "made:x has photos of 1 class; a classifier needs 2."
    one = scan_data_set(Made(Url("made:x"), {"train": "aa"}), to_train=False)
    assert one.classes == ("a",)


def test_an_address_may_name_a_split() -> None:
    """One that there is."""
    assert split_address(Url("hf:a/b:c@train")) == ("a/b:c", "train")
    assert split_address(Url("tfds:/a/1.0.0")) == ("/a/1.0.0", "")
    assert choose_splits(Url("made:x"), ["a", "b"], "") == ["a", "b"]
    assert choose_splits(Url("made:x"), ["a", "b"], "b") == ["b"]
    with pytest.raises(DataError) as caught:
        choose_splits(Url("made:x@c"), ["a", "b"], "c")
    assert str(caught.value) == "made:x@c: there is no split c. It has: a, b."


def test_a_data_set_is_known_by_its_scheme() -> None:
    """Not a file system, nor a path."""
    assert is_data_set(Url("hf:x"), "hf:")
    assert not any(is_data_set(one, "hf:") for one in (Url("hf://x"), Url("tfds:x"), Path("hf:x")))


def test_missing_labels_are_counted() -> None:
    """None is fine."""
    check_labels(Url("made:x"), 0, 5, "test")
    with pytest.raises(DataError) as caught:
        check_labels(Url("made:x"), 2, 5000, "test")
    assert str(caught.value) == (
        "made:x: 2 of 5,000 photos of the split test have no label. Name a split that has them: "
        "made:NAME@SPLIT"
    )


def test_an_error_takes_one_line() -> None:
    """One without a text is named."""
    assert reason_of(ValueError("one\n  two")) == "one two"
    assert reason_of(ValueError()) == "ValueError"
