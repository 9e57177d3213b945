"""Charts of an evaluation, or of several runs. PNG, by Matplotlib."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from kvgg_jax.core.history import History
from kvgg_jax.core.text import escape_name
from kvgg_jax.data.decode.image import load_bytes
from kvgg_jax.evaluation.confusion import Confusion
from kvgg_jax.evaluation.metrics import calibration_error, has_curves
from kvgg_jax.evaluation.record import MATRIX, Bin, Evaluation
from kvgg_jax.runs.charts import BEST, TRAIN, VAL, finish, plain, save

COLUMNS, THUMB = 6, 160  # photos per row of the gallery, and pixels a side
GREY = "#8a8a8a"
SHADES = 500  # a side, that a chart has room for


def draw_reliability(bins: Sequence[Bin], file: Path, *, title: str) -> None:
    """Accuracy over confidence, beside the diagonal where they agree, and photos per bin."""
    figure = Figure(figsize=(5, 5.6), layout="constrained")
    top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    some = [one for one in bins if one.count]
    width = bins[0].high - bins[0].low
    middles = [(one.low + one.high) / 2 for one in some]
    top.bar(middles, [one.accuracy for one in some], width, color=VAL, ec="w", label="share right")
    confidence = [one.confidence for one in some]
    top.plot(confidence, confidence, "o", color=BEST, ms=4, label="mean probability given")
    top.plot((0, 1), (0, 1), "--", color=GREY, lw=1, label="calibrated")
    title = f"{title}\nexpected calibration error {calibration_error(tuple(bins)):.4f}"
    finish(top, loc="upper left", ylabel="share right", ylim=(0, 1.02), xlim=(0, 1))
    top.set_title(title, fontsize=10)
    bars = bottom.bar(middles, [one.count for one in some], width, color=TRAIN, ec="w")
    bottom.bar_label(bars, fontsize=7)
    bottom.margins(y=0.2)
    finish(bottom, xlabel=f"probability of the predicted class ({len(bins)} bins)", ylabel="photos")
    save(figure, file)


def draw_ranking(result: Evaluation, file: Path, *, title: str) -> None:
    """ROC and precision-recall curve of each class against the rest, with their areas.

    Every threshold is a point. Precision is drawn in steps, since nothing between two thresholds
    can be reached (Davis & Goadrich 2006).
    """
    from sklearn.metrics import precision_recall_curve, roc_curve

    figure = Figure(figsize=(9.6, 4.6), layout="constrained")
    roc, pr = figure.subplots(1, 2)
    figure.suptitle(title, fontsize=10)
    true = np.array(result.samples.labels)
    for k, (name, one) in enumerate(result.classes.items()):
        of_class, scores = true == k, result.probabilities[:, k]
        if has_curves(of_class):
            false_positive_rate, recall, _ = roc_curve(of_class, scores, drop_intermediate=False)
            # Matplotlib hides labels that begin with "_"
            roc.plot(false_positive_rate, recall, label=f"{one.roc_area:.4f} {plain(name)}")
            precision, recall, _ = precision_recall_curve(of_class, scores)
            label = f"{one.average_precision:.4f} {plain(name)}"
            # precision holds from one threshold's recall back to the one before
            pr.plot(recall[::-1], precision[::-1], drawstyle="steps-pre", label=label)
    roc.plot((0, 1), (0, 1), "--", color=GREY, lw=1)  # what guessing gives
    for axes, name, xlabel, ylabel in (
        (roc, "ROC, area", "false positive rate", "true positive rate"),
        (pr, "Precision and recall, average precision", "recall", "precision"),
    ):
        axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01))
        finish(axes, loc="lower center", title=name, xlabel=xlabel, ylabel=ylabel)
    save(figure, file)


def draw_comparison(histories: Mapping[str, History], file: Path) -> None:
    """Validation accuracy and loss of several runs by epoch, the best epoch of each marked."""
    figure = Figure(figsize=(9.6, 4), layout="constrained")
    for axes, name in zip(figure.subplots(1, 2), ("accuracy", "loss"), strict=True):
        for run, history in histories.items():
            if history.best is None:
                continue
            values = [getattr(row, f"val_{name}") for row in history]
            mark = "o" if len(values) == 1 else None
            (line,) = axes.plot([row.epoch for row in history], values, marker=mark)
            best = getattr(history.best, f"val_{name}")
            label = f"{best:.4f} {_short(run)}"
            axes.plot(history.best.epoch, best, "*", color=line.get_color(), ms=12, label=label)
        axes.xaxis.get_major_locator().set_params(integer=True)
        finish(axes, xlabel="epoch", title=f"Validation {name}, best epochs marked")
    save(figure, file)


def draw_mistakes(result: Evaluation, file: Path) -> None:
    """A gallery of the worst: file, true class, predicted class and its probability."""
    worst = result.mistakes
    rows, columns = -(-len(worst) // COLUMNS), min(COLUMNS, len(worst))
    figure = Figure(figsize=(max(columns * 1.9, 4), rows * 2.5 + 0.5), layout="constrained")
    title = f"{result.split}: the {len(worst)} most confident of {result.wrong} mistakes"
    figure.suptitle(title, fontsize=10)
    for axes in figure.subplots(rows, columns, squeeze=False).flat:
        axes.axis("off")
    for axes, one in zip(figure.axes, worst, strict=False):
        source = result.samples.source
        content, where = source.read(one.path), source.name(one.path)
        axes.imshow(load_bytes(content, THUMB, result.resize, name=where))
        name, true, predicted = map(_short, (Path(one.path).name, one.true, one.predicted))
        text = f"{name}\ntrue: {true}\npredicted: {predicted} {one.probability:.1%}"
        axes.set_title(text, fontsize=7)
    save(figure, file)


def _short(text: str) -> str:
    text = escape_name(text)
    return plain(text if len(text) <= 24 else f"...{text[-21:]}")


def draw_confusion(cells: Confusion, classes: Sequence[str], file: Path, *, title: str) -> None:
    """Counts [true, predicted], shaded by the share of the true class.

    Above `MATRIX` classes there is no room for numbers and names: the shades alone, above `SHADES`
    of the mean of several classes.
    """
    side = max(3.6, 0.55 * min(len(classes), MATRIX) + 2)
    figure = Figure(figsize=(side + 0.6, side), layout="constrained")
    axes = figure.subplots()
    share = _shares(cells)
    edge = cells.size - 0.5
    axes.imshow(share, cmap="YlGnBu", vmin=0, vmax=1, extent=(-0.5, edge, edge, -0.5))
    axes.set(xlabel="predicted", ylabel="true", title=title)
    if len(classes) <= MATRIX:
        _write_counts(axes, cells, share, [plain(name) for name in classes])
    save(figure, file)


def _shares(cells: Confusion) -> NDArray[np.float64]:
    """Of each class's photos by predicted class, the mean of neighbors above `SHADES` classes."""
    side = min(cells.size, SHADES)
    shade = np.arange(cells.size) * side // cells.size
    true, predicted, count = map(np.array, (cells.true, cells.predicted, cells.count))
    share = np.zeros((side, side))
    of_class = count / np.bincount(true, count)[true]
    np.add.at(share, (shade[true], shade[predicted]), of_class)
    return share / np.bincount(shade)[:, None]


def _write_counts(
    axes: Axes, cells: Confusion, share: NDArray[np.float64], names: Sequence[str]
) -> None:
    axes.set_xticks(range(len(names)), names, rotation=45, ha="right")
    axes.set_yticks(range(len(names)), names)
    for (row, column), count in np.ndenumerate(np.array(cells.rows())):
        dark = share[row, column] > 0.5
        axes.text(column, row, str(count), ha="center", va="center", color="w" if dark else "k")
