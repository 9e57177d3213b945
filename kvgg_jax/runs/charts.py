"""The pictures a run leaves behind: curves, samples, confusion matrix. PNG, by Matplotlib."""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from kvgg_jax.core.history import History
from kvgg_jax.core.text import escape_name
from kvgg_jax.runs.folder import write_file

TRAIN, VAL, BEST = "#8c5a2b", "#1f6f78", "#c23b22"


def draw_curves(history: History, file: Path) -> None:
    """Accuracy and loss of both parts by epoch, the best epoch marked."""
    best = history.best
    if best is None:
        return
    epochs = [row.epoch for row in history]
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    for axes, name in zip(figure.subplots(1, 2), ("accuracy", "loss"), strict=True):
        train = [getattr(row, name) for row in history]
        val = [getattr(row, f"val_{name}") for row in history]
        mark = "o" if len(epochs) == 1 else None
        axes.plot(epochs, train, color=TRAIN, label="training", marker=mark)
        axes.plot(epochs, val, color=VAL, label="validation", marker=mark)
        value = getattr(best, f"val_{name}")
        axes.plot(best.epoch, value, "*", color=BEST, ms=13, label=f"best epoch: {value:.4f}")
        axes.set(
            xlabel="epoch", title=name.capitalize(), ylim=(0, 1.02) if name[0] == "a" else None
        )
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.25)
        axes.legend(frameon=False)
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
    top = 1.5 * smoothed[0]  # what explodes would flatten all the rest
    axes.set(xscale="log", xlabel="learning rate", title="Loss by learning rate", ylim=(0, top))
    axes.grid(alpha=0.25)
    axes.legend(frameon=False)
    save(figure, file)


def draw_samples(
    images: NDArray[np.float32], labels: Sequence[str], file: Path, *, columns: int = 8
) -> None:
    """A grid of pictures, float32 [count, size, size, 3] in [0, 1], with their classes."""
    rows = -(-len(images) // columns)
    figure = Figure(figsize=(columns * 1.3, rows * 1.5), layout="constrained")
    for axes in figure.subplots(rows, columns, squeeze=False).flat:
        axes.axis("off")
    for axes, image, label in zip(figure.axes, images, labels, strict=False):
        axes.imshow(np.clip(image, 0, 1))
        axes.set_title(plain(label), fontsize=8)
    save(figure, file)


def plain(text: str) -> str:
    """Class names are text, never Matplotlib's math markup, and may hold bytes that are no text."""
    return escape_name(text).replace("$", r"\$")


def save(figure: Figure, file: Path) -> None:
    """Put a picture in place, whole or not at all. Raises RunError when it cannot."""
    content = io.BytesIO()
    with warnings.catch_warnings():  # a script the font lacks shows as boxes, which is enough
        warnings.filterwarnings("ignore", "Glyph ")
        figure.savefig(content, dpi=120, format="png")
    write_file(file, content.getvalue())
