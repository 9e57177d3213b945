"""The figures that follow from what `data check` found."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from kvgg_jax.data.audit.color_baseline import ColorBaseline
from kvgg_jax.data.audit.findings import Check, Duplicates, Photo
from kvgg_jax.data.samples import Samples
from kvgg_jax.data.sources.folder import Folder


def group(*photos: str, exact: bool = True) -> Duplicates:
    """Of photos given as "class part"; "-" is no class."""
    rows = [text.replace("-", "").split(" ") for text in photos]
    return Duplicates(exact, tuple(Photo(Path(f"{i}.png"), *row) for i, row in enumerate(rows)))


def check(*duplicates: Duplicates) -> Check:
    return Check(
        folder=Path("beans"),
        against=Path("new"),
        samples=Samples(Folder(Path("beans")), (), (), ("a", "b")),
        classes={"a": 30, "b": 10},
        sizes=Counter({"64 x 64": 39}),
        modes=Counter({"RGB": 39}),
        formats=Counter({"PNG": 39}),
        bad=((Path("beans/a/1.png"), "beans/a/1.png: is empty (0 bytes)."),),
        odd=((Path("beans/b/2.png"), "has only one color"),),
        duplicates=duplicates,
        how="keras",
        parts={"train": 32, "val": 8, "test": 0, "against": 5},
        others=None,
        series=None,
        color=ColorBaseline(class_mean=0.5, nearest=0.75, reference=32),
        chance=0.75,
    )


def test_a_group_knows_its_classes_and_sides() -> None:
    """Photos without a class contradict nothing; only train and val are sides of a split."""
    same, mixed, flat = group("a train", "a val"), group("a val", "b val"), group("- against")
    assert [one.contradictory for one in (same, mixed, flat)] == [False, True, False]
    assert [one.across for one in (same, mixed, flat)] == [True, False, False]
    assert group("a val", "- against").contradictory is False


def test_leaks_are_counted_by_photo_and_contradictions_by_group() -> None:
    """Two validation photos beside one training photo are two leaks."""
    found = check(
        group("a train", "a val", "a val"),
        group("a val", "b val", exact=False),
        group("b train", "a against", "b against"),
        group("- against", "- against"),
    )
    assert (found.count, found.imbalance) == (40, 3)
    assert (found.split_leaks, found.folder_leaks, found.contradictory) == (2, 2, 2)


def test_json_has_all_that_was_found() -> None:
    """As docs/json.md describes it."""
    found = check(group("a train", "b val"))
    assert found.to_json() == {
        "folder": "beans",
        "count": 40,
        "classes": {"a": 30, "b": 10},
        "imbalance": 3.0,
        "sizes": {"64 x 64": 39},
        "modes": {"RGB": 39},
        "formats": {"PNG": 39},
        "bad": [{"path": "beans/a/1.png", "reason": "beans/a/1.png: is empty (0 bytes)."}],
        "odd": [{"path": "beans/b/2.png", "reason": "has only one color"}],
        "duplicates": [
            {
                "exact": True,
                "photos": [
                    {"path": "0.png", "class": "a", "part": "train"},
                    {"path": "1.png", "class": "b", "part": "val"},
                ],
            }
        ],
        "contradictory": 1,
        "split": {"how": "keras", "train": 32, "val": 8, "leaks": 1},
        "series": None,
        "against": {"folder": "new", "count": 5, "leaks": 0},
        "color": {"class_mean": 0.5, "nearest": 0.75, "reference": 32, "chance": 0.75},
    }
    assert replace(found, against=None).to_json()["against"] is None


@pytest.mark.parametrize(
    ("accuracy", "count", "tells"),
    [
        (0.9, 20, True),
        (0.4, 240, True),
        (0.27, 240, False),
        (1.0, 1, None),
        (0.27, 20, None),
        (0.33, 240, None),
    ],
)
def test_color_separates_classes_where_its_accuracy_is_surely_above_chance(
    accuracy: float, count: int, tells: bool | None
) -> None:
    """By the better of the two classifiers, with its error on so many photos; chance is 0.25."""
    color = ColorBaseline(class_mean=0.2, nearest=accuracy, reference=960)
    found = replace(check(), color=color, chance=0.25, parts={"train": 960, "val": count})
    assert found.color_tells is tells
    assert replace(found, color=ColorBaseline(left_out="why")).color_tells is None
