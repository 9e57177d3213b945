"""Charts as SVG: what they say in words, and that nothing is drawn outside of them."""

from __future__ import annotations

import math
import re
from typing import Any

import pytest

from kvgg_jax.evaluation.record import Bin
from kvgg_jax.web.html import charts
from kvgg_jax.web.html.charts import HEIGHT, WIDTH, Line, tick
from kvgg_jax.web.html.page import environment
from support.pages import Page


def draw(name: str, *values: Any, **more: Any) -> str:
    """The chart `name`, as the page has it."""
    macros = environment().get_template("charts.html.j2").module
    return str(getattr(macros, name)(getattr(charts, name)(*values, **more)))


def label(chart: str) -> str:
    (svg,) = Page(chart).all("svg")
    return str(svg["aria-label"])


def points(chart: str, kind: str) -> list[tuple[float, float]]:
    (found,) = re.findall(rf'<polyline class="{kind}" points="(.*?)"', chart)
    return [tuple(map(float, pair.split(","))) for pair in found.split()]


def test_curves_describe_their_ends_and_the_best_epoch() -> None:
    """And rise where the values do: the vertical axis of SVG points down."""
    lines = [
        Line("first", "training", [(1, 0.25), (2, 0.5), (3, 1.0)]),
        Line("second", "validation", [(1, 0.5), (2, 0.75), (3, 0.625)]),
    ]
    chart = draw("curves", "Accuracy", lines, (2, 0.75), top=1.0)
    assert label(chart) == (
        "Accuracy over 3 epochs: training from 0.250 to 1.000; validation from 0.500 to 0.625; "
        "the best epoch is 2 with 0.7500."
    )
    (_, low), (_, middle), (_, high) = points(chart, "first")
    assert low - middle == pytest.approx((middle - high) / 2, abs=0.1)
    inside = points(chart, "first") + points(chart, "second")
    assert all(0 < x < WIDTH and 0 < y < HEIGHT for x, y in inside)


def test_a_loss_that_is_no_number_has_no_point() -> None:
    """Nor does one epoch make a line: it is a dot."""
    gap = Line("first", "training", [(1, 1.0), (2, math.nan), (3, 0.5), (4, math.inf)])
    chart = draw("curves", "Loss", [gap], (1, 1.0), top=1.0)
    assert len(points(chart, "first")) == 2
    alone = draw("curves", "Loss", [Line("first", "training", [(1, 1.0)])], (1, 1.0), top=1.0)
    assert '<circle class="first"' in alone
    assert label(alone).startswith("Loss over 1 epoch: ")


def test_a_reliability_diagram_has_a_bar_for_each_bin_with_photos() -> None:
    """As high as the share that is right."""
    bins = [Bin(0.0, 0.5, 0, 0.0, 0.0), Bin(0.5, 0.75, 4, 0.7, 0.5), Bin(0.75, 1.0, 8, 0.9, 1.0)]
    chart = draw("reliability", bins, 0.125)
    heights = [float(height) for height in re.findall(r'class="bar".* height="(.*?)"', chart)]
    assert heights[1] == pytest.approx(2 * heights[0], abs=0.1)
    assert label(chart) == (
        "Reliability diagram of 2 bins, calibration error 0.1250. In the fullest one, 8 photos "
        "predicted with 90% on average are right 100% of the time."
    )


def test_bars_of_shares_are_as_long_as_the_shares() -> None:
    """The interval is described and drawn for the first alone; names are text."""
    chart = draw("share_bars", [("a <b>", 0.5), ("b", 0.25)], (0.4, 0.6))
    assert (
        label(chart)
        == "Shares of right answers: a <b> 50.0% (95% interval 40.0% to 60.0%), b 25.0%."
    )
    first, second = re.findall(r'class="(?:bar|other)".* width="(.*?)"', chart)
    assert float(first) == pytest.approx(2 * float(second), abs=0.1)
    assert chart.count("whisker") == 1
    assert "<b>" not in chart


@pytest.mark.parametrize(
    ("span", "step"), [(1, 0.2), (1.5, 0.5), (2.3, 0.5), (5, 1), (20, 5), (100, 20), (0.03, 0.01)]
)
def test_labels_of_an_axis_are_round_numbers(span: float, step: float) -> None:
    """About five of them."""
    assert tick(span) == pytest.approx(step)
