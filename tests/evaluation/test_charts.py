"""Charts of an evaluation: drawn whatever the classes and files are called."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from kvgg_jax.core.history import Epoch, History
from kvgg_jax.core.tables.data import Resize
from kvgg_jax.data.decode.image import load
from kvgg_jax.evaluation import charts
from kvgg_jax.evaluation.charts import (
    COLUMNS,
    THUMB,
    draw_comparison,
    draw_confusion,
    draw_mistakes,
    draw_ranking,
    draw_reliability,
)
from kvgg_jax.evaluation.confusion import Confusion
from kvgg_jax.evaluation.metrics import class_figures, reliability
from kvgg_jax.evaluation.record import MATRIX, Evaluation, Mistake
from support.evaluations import six_photos
from support.images import ODD_NAMES, noise, png_size


@pytest.fixture
def result(tmp_path: Path) -> Evaluation:
    """Six photos of three classes."""
    return six_photos(tmp_path)


def renamed(result: Evaluation, names: Sequence[str]) -> Evaluation:
    """The same with so many classes, of these names."""
    scores = np.random.default_rng(0).random((6, len(names)))
    figures = class_figures(np.array(result.samples.labels), scores)
    classes = dict(zip(names, figures, strict=True))
    return result.model_copy(update={"classes": classes, "probabilities": scores})


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures that would be saved."""
    figures: list[Figure] = []
    monkeypatch.setattr("kvgg_jax.evaluation.charts.save", lambda one, _: figures.append(one))
    return figures


def test_curves_are_drawn_for_the_classes_that_have_one(result: Evaluation, tmp_path: Path) -> None:
    """The fourth class has no photo, and no curve."""
    four = renamed(result, ODD_NAMES)
    assert [one.roc_area is None for one in four.classes.values()] == [False] * 3 + [True]
    draw_ranking(four, tmp_path / "roc-pr.png", title="x")
    assert png_size(tmp_path / "roc-pr.png") == (1152, 552)


def test_each_threshold_is_a_point_of_a_curve(
    result: Evaluation, tmp_path: Path, drawn: list[Figure]
) -> None:
    """By hand, of class blue: falling scores are right, a tie of right and wrong, then wrong."""
    scores = np.array([0.9, 0.5, 0.5, 0.1, 0.1, 0.1])
    draw_ranking(
        result.model_copy(update={"probabilities": np.stack([scores] * 3, axis=1)}),
        tmp_path / "roc-pr.png",
        title="x",
    )
    roc, pr = (axes.lines[0] for axes in drawn[0].axes)
    assert np.array(roc.get_xydata()).tolist() == [[0, 0], [0, 0.5], [0.25, 1], [1, 1]]
    assert np.array(pr.get_xydata()) == pytest.approx(
        np.array([[0, 1], [0.5, 1], [1, 2 / 3], [1, 2 / 6]])
    )
    assert pr.get_drawstyle() == "steps-pre"


def test_one_photo_is_enough_for_a_reliability_diagram(tmp_path: Path) -> None:
    """The other bins are empty."""
    bins = reliability(np.array([0]), np.array([[0.9, 0.1]]))
    draw_reliability(bins, tmp_path / "reliability.png", title="x")
    assert png_size(tmp_path / "reliability.png") == (600, 672)


@pytest.mark.parametrize("resize", ["squash", "crop", "pad"])
def test_the_gallery_has_photos_as_the_network_gets_them(
    result: Evaluation, tmp_path: Path, drawn: list[Figure], resize: Resize
) -> None:
    """By the setting of the run."""
    Image.fromarray(noise(64)[:24]).save(result.samples.root / "wide.png")
    one = Mistake(path="wide.png", true="blue", predicted="red", probability=0.5)
    changed = result.model_copy(update={"mistakes": (one,), "resize": resize})
    draw_mistakes(changed, tmp_path / "m.png")
    (shown,) = drawn[0].axes[0].images
    expected = load(result.samples.root / "wide.png", THUMB, resize)
    np.testing.assert_array_equal(shown.get_array(), expected)


def test_a_run_without_an_epoch_has_no_curve(tmp_path: Path) -> None:
    """One epoch is a point, two a line; runs may be called anything."""
    rows = [Epoch(i, 1 / i, 0.5, 1 / i, 0.5, 1e-4, 1.0, 1.0) for i in (1, 2)]
    histories = {name: History(tuple(rows[:k])) for k, name in enumerate(ODD_NAMES[:3])}
    draw_comparison(histories, tmp_path / "comparison.png")
    draw_comparison({"x": History(), "y": History()}, tmp_path / "empty.png")
    assert png_size(tmp_path / "comparison.png") == png_size(tmp_path / "empty.png") == (1152, 480)


@pytest.mark.parametrize("count", [1, COLUMNS, COLUMNS + 1])
def test_the_gallery_has_a_place_for_each_mistake(
    result: Evaluation, tmp_path: Path, count: int
) -> None:
    """A row is begun when the one before is full."""
    (result.samples.root / (odd := "n\udce9\n" * 20 + ".png")).write_bytes(
        result.samples.files()[0].read_bytes()
    )
    one = Mistake(path=odd, true=ODD_NAMES[0], predicted=ODD_NAMES[1], probability=0.5)
    draw_mistakes(result.model_copy(update={"mistakes": (one,) * count}), tmp_path / "m.png")
    columns, rows = min(count, COLUMNS), -(-count // COLUMNS)
    assert png_size(tmp_path / "m.png") == (
        round(max(columns * 1.9, 4) * 120),
        round((rows * 2.5 + 0.5) * 120),
    )


def test_a_name_that_begins_with_an_underscore_is_in_the_legend(
    result: Evaluation, tmp_path: Path, drawn: list[Figure]
) -> None:
    """Matplotlib leaves out labels that do."""
    names = ["_other", "red", "green"]
    draw_ranking(renamed(result, names), tmp_path / "roc-pr.png", title="x")
    history = History((Epoch(1, 1.0, 0.5, 1.0, 0.5, 1e-4, 1.0, 1.0),))
    draw_comparison(dict.fromkeys(names, history), tmp_path / "comparison.png")
    legends = [[axes.get_legend() for axes in figure.axes] for figure in drawn]
    legends = [
        [text.get_text().split()[1] for one in both if one for text in one.get_texts()]
        for both in legends
    ]
    assert legends == [names * 2] * 2


def diagonal(size: int) -> Confusion:
    """One photo of each class, all right."""
    classes = tuple(range(size))
    return Confusion(size=size, true=classes, predicted=classes, count=(1,) * size)


def test_a_confusion_matrix_may_have_any_names(tmp_path: Path) -> None:
    """A folder's name is drawn as it is printed; warnings would be errors here."""
    draw_confusion(diagonal(4), ODD_NAMES, tmp_path / "confusion.png", title="x")
    assert png_size(tmp_path / "confusion.png")[0] > 300


def test_shades_are_shares_of_a_class_and_means_of_neighbors(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Four classes on two shades a side: the last has no photo."""
    rows = [[3, 1, 0, 0], [0, 1, 0, 0], [0, 0, 0, 2], [0, 0, 0, 0]]
    cells = Confusion.model_validate(rows)
    shares = [[0.75, 0.25, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1], [0, 0, 0, 0]]
    np.testing.assert_array_equal(charts._shares(cells), shares)
    monkeypatch.setattr(charts, "SHADES", 2)
    np.testing.assert_array_equal(charts._shares(cells), [[1, 0], [0, 0.5]])


def test_many_classes_are_shades_in_a_chart_that_does_not_grow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A number per cell would take minutes and gigabytes."""
    sizes, texts = [], []

    def save(figure: Figure, file: Path) -> None:
        texts.append(len(figure.findobj(Text)))
        real(figure, file)

    real = charts.save
    monkeypatch.setattr("kvgg_jax.evaluation.charts.save", save)
    for count in (MATRIX, MATRIX + 1, 5000):
        names = [f"class {number}" for number in range(count)]
        draw_confusion(diagonal(count), names, tmp_path / "many.png", title="x")
        sizes.append(png_size(tmp_path / "many.png"))
    assert sizes[0] == sizes[1] == sizes[2]
    assert texts[0] > MATRIX**2  # one a cell
    assert max(texts[1:]) < 100
