"""What file names say of photos that belong together."""

from __future__ import annotations

import re
from pathlib import Path

from kvgg_jax.data.audit.series import PATTERNS, Series, find_series
from kvgg_jax.data.samples import Samples
from kvgg_jax.data.sources.folder import Folder

FOLDERS, NUMBERS = PATTERNS


def samples(*paths: str) -> Samples:
    """Photos of the classes a and b, by their folder."""
    labels = tuple("ab".index(path[0]) for path in paths)
    return Samples(Folder(Path("r")), paths, labels, ("a", "b"))


def test_numbered_names_are_series() -> None:
    """Two in a class, one of which stands on both sides."""
    train = samples("a/lot-1_001.jpg", "a/lot-1_002.jpg", "a/lot-2 (1).jpg", "b/x.jpg")
    val = samples("a/lot-2 (2).jpg", "b/y.jpg")
    assert find_series(train, val) == Series(2, "a/lot-1", 1, NUMBERS)


def test_folders_within_a_class_are_series() -> None:
    """Of a video each, say."""
    train = samples("a/cat/x.jpg", "a/cat/y.jpg", "a/dog/x.jpg", "b/z.jpg")
    val = samples("a/dog/y.jpg")
    assert find_series(train, val) == Series(2, "a/cat", 1, FOLDERS)


def test_one_series_per_class_says_nothing() -> None:
    """Nearly all folders are numbered so; names without numbers say nothing either."""
    assert (
        find_series(samples("a/a (1).png", "a/a (2).png", "b/b1.png"), samples("b/b2.png")) is None
    )
    assert find_series(samples("a/x.png", "b/y.png"), samples("a/z.png")) is None
    assert find_series(samples("a/1.png", "a/2.png", "b/1.png"), samples("b/IMG.png")) is None


def test_a_few_series_among_many_photos_say_nothing() -> None:
    """Half of the photos have to be in one."""
    few = ("a/s1_1.png", "a/s1_2.png", "a/s2_1.png", "a/s2_2.png")
    others = [f"a/{letter}.png" for letter in "pqrstu"]
    assert find_series(samples(*few, *others), samples("b/v.png")) is None


def test_the_patterns_find_a_group_in_every_path() -> None:
    """So that `data.group_by` accepts them."""
    for path in ("a/1.png", "a/IMG_0001.JPG", "a/b (12).jpeg", "a/none", "a/x.y_3.png"):
        match = re.search(NUMBERS, path)
        assert match is not None
        assert match[1].startswith("a")
