"""The result of `kvgg lr-find` as text and JSON."""

from __future__ import annotations

from pathlib import Path

import pytest

from kvgg_jax.cli.text.search import rates_json, rates_text, save_rates
from kvgg_jax.training.search.lr_range import RangeTest

RATES = (3e-5, 3e-4, 3e-3)


@pytest.mark.parametrize(
    ("smoothed", "suggested", "why", "warned"),
    [
        ((1.5, 0.5, 2.5), "1.0e-04", "3.0e-04, where the smoothed loss was lowest (0.500)", None),
        (
            (1.5, 1.0, 0.25),
            "1.0e-03",
            "3.0e-03, where the smoothed loss was lowest (0.250)",
            "The loss was still falling there: try a higher --high.",
        ),
    ],
)
def test_the_suggestion_comes_with_its_reason_and_what_speaks_against_it(
    capsys, smoothed, suggested, why, warned
):
    """The lowest loss at an end of the range is no minimum."""
    rates_text(RangeTest(RATES, smoothed, smoothed, "all 3 steps are done"), Path("x.png"))
    assert capsys.readouterr().out.splitlines() == [
        f"Suggested learning rate: {suggested}",
        f"A third of {why}; all 3 steps are done.",
        *([warned] if warned else []),
        "Losses by rate: x.png",
        f"To train with it: the same settings, and --lr {suggested}",
    ]


def test_a_loss_that_never_fell_suggests_nothing(capsys):
    """Its lowest is the first, of a rate too small to tell."""
    rates_text(RangeTest(RATES, (1.5, 2.0, 3.0), (1.5, 2.0, 3.0), "it exploded"), Path("x.png"))
    assert capsys.readouterr().out.splitlines() == [
        "No learning rate to suggest: the loss never fell.",
        "Try more --steps, or a higher --high. Losses by rate: x.png",
    ]


def test_the_chart_is_drawn_for_any_losses(tmp_path):
    """One rate alone, and a loss that exploded, too."""
    for losses in ((0.5,), (0.5, 0.25, 1e9)):
        result = RangeTest(RATES[: len(losses)], losses, losses, "")
        file = save_rates(result, tmp_path / "x.png")
        assert file.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("smoothed", "suggested", "falling"),
    [((3.0, 2.0, 1.0), RATES[2] / 3, True), ((3.0, 1.0, 2.0), RATES[1] / 3, False)],
)
def test_the_json_says_what_the_text_does(smoothed, suggested, falling):
    """Null where the loss never fell."""
    found = rates_json(RangeTest(RATES, smoothed, smoothed, "x"), Path("x.png"))
    assert (found["suggested"], found["still_falling"]) == (pytest.approx(suggested), falling)
    never = rates_json(RangeTest(RATES, (1.0, 2.0, 3.0), (1.0, 2.0, 3.0), "x"), Path("x.png"))
    assert (never["suggested"], never["still_falling"]) == (None, False)
