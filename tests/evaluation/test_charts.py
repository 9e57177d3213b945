"""The pictures of an evaluation: drawn whatever the classes and files are called."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from kvgg_jax.core.history import Epoch, History
from kvgg_jax.evaluation.charts import (
    COLUMNS,
    Mistake,
    draw_comparison,
    draw_mistakes,
    draw_ranking,
    draw_reliability,
)
from kvgg_jax.evaluation.curves import one_vs_rest
from kvgg_jax.evaluation.metrics import reliability
from support.images import ODD_NAMES, png_size


def test_curves_are_drawn_for_the_classes_that_have_one(tmp_path: Path) -> None:
    """The fourth class has no picture, and no curve."""
    scores = np.random.default_rng(0).random((9, 4))
    curves = one_vs_rest(np.arange(9) % 3, scores)
    assert curves[3] is None
    draw_ranking(curves, ODD_NAMES, tmp_path / "roc-pr.png", title="x")
    assert png_size(tmp_path / "roc-pr.png") == (1152, 552)


def test_one_picture_is_enough_for_a_reliability_diagram(tmp_path: Path) -> None:
    """The other bins are empty."""
    bins = reliability(np.array([0]), np.array([[0.9, 0.1]]))
    draw_reliability(bins, tmp_path / "reliability.png", title="x")
    assert png_size(tmp_path / "reliability.png") == (600, 672)


def test_a_run_without_an_epoch_has_no_curve(tmp_path: Path) -> None:
    """One epoch is a point, two a line; runs may be called anything."""
    rows = [Epoch(i, 1 / i, 0.5, 1 / i, 0.5, 1e-4, 1.0, 1.0) for i in (1, 2)]
    histories = {name: History(tuple(rows[:k])) for k, name in enumerate(ODD_NAMES[:3])}
    draw_comparison(histories, tmp_path / "comparison.png")
    draw_comparison({"x": History(), "y": History()}, tmp_path / "empty.png")
    assert png_size(tmp_path / "comparison.png") == png_size(tmp_path / "empty.png") == (1152, 480)


@pytest.mark.parametrize("count", [1, COLUMNS, COLUMNS + 1])
def test_the_gallery_has_a_place_for_each_mistake(tmp_path: Path, count: int) -> None:
    """A row is begun when the one before is full."""
    image = np.zeros((8, 8, 3), np.uint8)
    one = Mistake(image, "n\udce9\n" * 20 + ".png", ODD_NAMES[0], ODD_NAMES[1], 0.5)
    draw_mistakes([one] * count, tmp_path / "mistakes.png", title="x")
    columns, rows = min(count, COLUMNS), -(-count // COLUMNS)
    assert png_size(tmp_path / "mistakes.png") == (
        round(max(columns * 1.9, 4) * 120),
        round((rows * 2.5 + 0.5) * 120),
    )


def test_a_name_that_begins_with_an_underscore_is_in_the_legend(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Matplotlib leaves out labels that do."""
    told: list[list[str]] = []

    def listen(figure: Figure, _: Path) -> None:
        legends = [axes.get_legend() for axes in figure.axes]
        told.append([text.get_text() for one in legends if one for text in one.get_texts()])

    monkeypatch.setattr("kvgg_jax.evaluation.charts.save", listen)
    names = ["_other", "red", "green"]
    curves = one_vs_rest(np.arange(9) % 3, np.random.default_rng(0).random((9, 3)))
    draw_ranking(curves, names, tmp_path / "roc-pr.png", title="x")
    history = History((Epoch(1, 1.0, 0.5, 1.0, 0.5, 1e-4, 1.0, 1.0),))
    draw_comparison(dict.fromkeys(names, history), tmp_path / "comparison.png")
    assert [[text.split()[1] for text in one] for one in told] == [names * 2] * 2
