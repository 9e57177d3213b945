"""What `data check` found, in sentences that the terminal and the page share."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from kvgg_jax.data.audit.color_baseline import ColorBaseline
from kvgg_jax.data.audit.findings import Check, Duplicates, Photo
from kvgg_jax.data.audit.sentences import color_advice, color_text, facts, reason
from kvgg_jax.data.audit.series import Series
from kvgg_jax.data.samples import Samples
from kvgg_jax.data.sources.folder import Folder

LEAK = Duplicates(True, (Photo(Path("1"), "a", "train"), Photo(Path("2"), "b", "val")))
FOUND = Check(
    folder=Path("beans"),
    against=None,
    samples=Samples(Folder(Path("beans")), (), (), ("a", "b")),
    classes={"a": 1500, "b": 500},
    sizes=Counter({"1 x 1": 6, "2 x 1": 5, "3 x 1": 4, "4 x 1": 3, "5 x 1": 2, "6 x 1": 1}),
    modes=Counter({"RGB": 2000}),
    formats=Counter({"PNG": 1200, "JPEG": 800}),
    bad=(),
    odd=((Path("x"), "has only one color"),),
    duplicates=(LEAK, replace(LEAK, exact=False, photos=LEAK.photos[:1] * 2)),
    how="keras",
    parts={"train": 1600, "val": 400, "test": 0, "against": 0},
    others=None,
    series=None,
    color=ColorBaseline(class_mean=0.3, nearest=0.5, reference=1600),
    chance=0.75,
)
SAFE = "color does not separate the classes, so --augment-color is safe."


def test_each_figure_has_a_name_and_a_sentence() -> None:
    """In the order in which they are shown."""
    assert facts(FOUND) == [
        ("photos", "2,000 in 2 classes"),
        ("class sizes", "uneven: a has 3.0 times the photos of b (1,500 and 500)"),
        ("pixels", "1 x 1 (6), 2 x 1 (5), 3 x 1 (4), 4 x 1 (3), 5 x 1 (2) and 1 more"),
        ("modes", "RGB (2,000)"),
        ("formats", "PNG (1,200), JPEG (800)"),
        ("unreadable", "none"),
        ("odd", "1"),
        ("duplicates", "groups: 1 exact, 1 near"),
        ("contradictory", "groups in several classes: 1"),
        (
            "across the split",
            "1 of 400 validation photos are in training too (--split keras); --split grouped "
            "prevents it",
        ),
        (
            "color alone",
            "accuracy 0.3000 by the nearest class mean, 0.5000 by the nearest of 1,600 training "
            f"photos. Guessing gives 0.7500: {SAFE}",
        ),
    ]


def test_sentences_follow_what_was_found() -> None:
    """Even classes, no duplicates, another folder, an existing split, no baseline."""
    color = ColorBaseline(left_out="there are no photos to compare")
    even = replace(FOUND, classes={"a": 5, "b": 5}, duplicates=(), color=color)
    texts = dict(facts(replace(even, against=Path("new"), parts=Counter({"val": 4, "against": 7}))))
    assert (texts["class sizes"], texts["duplicates"]) == ("even: 5 each", "none")
    assert texts["contradictory"] == "groups in several classes: none"
    assert texts["in new"] == "0 of 7 photos are here too"
    assert texts["color alone"] == "left out, because there are no photos to compare."
    nearly = dict(facts(replace(FOUND, classes={"a": 5, "b": 7}, how="given")))
    assert nearly["class sizes"] == "nearly even: 5 to 7"
    assert nearly["across the split"] == (
        "1 of 400 validation photos are in training too (split as given); remove them from one part"
    )


def test_sentences_on_series_and_test_photos() -> None:
    """What to do about them, where they are on two sides."""
    series = Series(12, "a/lot 3", 0, "(.+/.+)/")
    found = replace(FOUND, series=series, parts=Counter({"val": 400, "test": 9}))
    texts = dict(facts(found))
    named = "12 by their file names, such as a/lot 3"
    assert texts["series"] == f"{named}; 0 of them have photos on both sides of the split"
    assert texts["across the split"].endswith("; 0 of 9 test photos are in another part")
    texts = dict(facts(replace(found, series=replace(series, across=3))))
    assert texts["series"] == (
        f"{named}; 3 of them have photos on both sides of the split. "
        "--split grouped --group-by '(.+/.+)/' prevents it"
    )


@pytest.mark.parametrize(
    ("accuracy", "count", "advice"),
    [
        (0.9, 20, "color tells classes apart, so augmentation must leave hue and saturation alone"),
        (0.27, 240, SAFE),
        (0.27, 20, "too close to tell with so few photos, so augmentation should leave hue"),
    ],
)
def test_the_advice_on_color_follows_from_the_baseline(
    accuracy: float, count: int, advice: str
) -> None:
    """A quarter is what guessing gives here."""
    color = ColorBaseline(class_mean=0.2, nearest=accuracy, reference=960)
    found = replace(FOUND, color=color, chance=0.25, parts={"val": count})
    assert color_advice(found).startswith(f"Guessing gives 0.2500: {advice}")
    assert color_advice(replace(found, color=ColorBaseline(left_out="why"))) == ""


def test_a_reason_is_the_message_without_its_path() -> None:
    """The path is shown beside it, escaped as in the message."""
    assert reason(Path("a\n.png"), "a\\n.png: is empty.") == "is empty."
    assert color_text(ColorBaseline(left_out="x")) == "color alone: left out, because x"
