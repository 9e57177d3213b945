"""Charts of a run: learning curves and samples. PNG, by Matplotlib."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from kvgg_jax.core.devices.hosts import is_main
from kvgg_jax.core.errors import RunError
from kvgg_jax.core.history import History
from kvgg_jax.core.text import escape_name
from kvgg_jax.runs.folder import Run, write_file

TRAIN, VAL, BEST = "#8c5a2b", "#1f6f78", "#c23b22"


@contextlib.contextmanager
def curves_at_the_end(run: Run) -> Iterator[None]:
    """Draw `curves.png` when a run ends, whatever ends it."""
    try:
        yield
    except BaseException:
        with contextlib.suppress(RunError):  # what ended the run matters more than its chart
            draw_curves(run.history(), run.path / "curves.png")
        raise
    draw_curves(run.history(), run.path / "curves.png")


def draw_curves(history: History, file: Path) -> None:
    """Accuracy and loss of both parts by epoch, the best epoch marked."""
    best = history.best
    if best is None or not is_main():
        return
    epochs = [row.epoch for row in history]
    mark = "o" if len(epochs) == 1 else None
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    for axes, name in zip(figure.subplots(1, 2), ("accuracy", "loss"), strict=True):
        for part, label, color in (("", "training", TRAIN), ("val_", "validation", VAL)):
            values = [getattr(row, f"{part}{name}") for row in history]
            axes.plot(epochs, values, color=color, label=label, marker=mark)
        value = getattr(best, f"val_{name}")
        axes.plot(best.epoch, value, "*", color=BEST, ms=13, label=f"best epoch: {value:.4f}")
        axes.xaxis.get_major_locator().set_params(integer=True)
        limits = (0, 1.02) if name == "accuracy" else None
        finish(axes, xlabel="epoch", title=name.capitalize(), ylim=limits)
    save(figure, file)


def draw_rates(
    rates: Sequence[float],
    losses: Sequence[float],
    smoothed: Sequence[float],
    file: Path,
    *,
    lowest: float,
    suggested: float | None,
) -> None:
    """Losses of a learning-rate range test by rate, which is on a logarithmic axis."""
    figure = Figure(figsize=(6.4, 3.6), layout="constrained")
    axes = figure.subplots()
    axes.plot(rates, losses, ".", color=TRAIN, alpha=0.4, label="loss per step")
    axes.plot(rates, smoothed, color=VAL, label="smoothed")
    axes.axvline(lowest, color=VAL, ls=":", label=f"lowest: {lowest:.1e}")
    if suggested is not None:
        axes.axvline(suggested, color=BEST, label=f"suggested: {suggested:.1e}")
    axes.set_ylim(0, 1.5 * smoothed[0])  # losses that explode would flatten all the rest
    finish(axes, xscale="log", xlabel="learning rate", title="Loss by learning rate")
    save(figure, file)


def finish(axes: Axes, *, loc: Any = "best", **properties: Any) -> None:
    """Set these properties of the axes, with a grid, and a legend where something has a label."""
    axes.set(**properties)
    axes.grid(alpha=0.25)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False, loc=loc, fontsize=8)


def draw_samples(
    images: NDArray[np.float32], labels: Sequence[str], file: Path, *, columns: int = 8
) -> None:
    """A grid of images, float32 [count, size, size, 3] in [0, 1], with their classes."""
    rows = -(-len(images) // columns)
    figure = Figure(figsize=(columns * 1.3, rows * 1.5), layout="constrained")
    for axes in figure.subplots(rows, columns, squeeze=False).flat:
        axes.axis("off")
    for axes, image, label in zip(figure.axes, images, labels, strict=False):
        axes.imshow(np.clip(image, 0, 1))
        axes.set_title(plain(label), fontsize=8)
    save(figure, file)


def plain(text: str) -> str:
    """A name as Matplotlib shows it as it is: escaped, without markup for formulas."""
    return escape_name(text).replace("$", r"\$")


def save(figure: Figure, file: Path) -> None:
    """Write a PNG file, whole or not at all. Raises RunError when it cannot."""
    content = io.BytesIO()
    with warnings.catch_warnings():  # a script the font lacks shows as boxes, which is enough
        warnings.filterwarnings("ignore", "Glyph ")
        figure.savefig(content, dpi=120, format="png")
    write_file(file, content.getvalue())
