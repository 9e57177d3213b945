"""The page of `kvgg report`: its sections, and the sentences, rows and charts that fill them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from markupsafe import Markup

from kvgg_jax.core.history import Epoch, History
from kvgg_jax.core.process import __version__
from kvgg_jax.core.text import escape_name
from kvgg_jax.data.audit.findings import Check
from kvgg_jax.data.audit.sentences import color_text
from kvgg_jax.data.split import Split
from kvgg_jax.evaluation.mistakes import Seen
from kvgg_jax.evaluation.record import (
    MATRIX,
    EvaluationRecord,
    Mistake,
    all_right_text,
    figure_rows,
    probabilities_text,
)
from kvgg_jax.runs.listing import RunSummary
from kvgg_jax.web.html import svg
from kvgg_jax.web.html.page import write_page
from kvgg_jax.web.html.report_setup import photos_context, setup_context

HEADINGS = {
    "result": "Result",
    "curves": "Training",
    "confusion": "Confusion matrix",
    "classes": "Classes",
    "calibration": "Calibration",
    "mistakes": "Mistakes",
    "photos": "Photos",
    "cost": "Cost",
    "making": "How it was made",
}
"""Section -> its heading, in order."""
NEED_FIGURES = ("result", "confusion", "classes", "calibration")
"""Sections that are left out together, where there is no evaluation."""


@dataclass(frozen=True, slots=True)
class Contents:
    """All that a report shows; None and empty for what is in `left_out`, with the reason."""

    run: RunSummary
    split: Split
    evaluated: EvaluationRecord | None
    worst: tuple[Mistake, ...]
    """The mistakes asked for."""
    mistakes: tuple[Seen, ...]
    """The same with their pictures."""
    check: Check | None
    left_out: dict[str, str]

    @property
    def names(self) -> tuple[str, ...]:
        """The sections that are there, in order."""
        return tuple(part for part in HEADINGS if part not in self.left_out)


def write_report(of: Contents, file: Path, *, now: datetime) -> int:
    """Write the page, made at `now`; its size in bytes. Raises RunError as `write_page` does."""
    history = of.run.history
    assert history.best is not None, "there is no report on a run without an epoch"
    context = setup_context(of.run, of.split)
    if of.check:
        context |= photos_context(of.check, of.split)
    if of.evaluated:
        context |= _evaluation_context(of.evaluated, of.check)
    return write_page(
        file,
        "report.html.j2",
        of=of,
        title=f"Report on {escape_name(of.run.path.resolve().name)}",
        headings=HEADINGS,
        best=history.best,
        curves=_curves(history, history.best),
        epochs=map(_epoch, history),
        worst_rows=[
            (one.path, one.true, one.predicted, f"{one.probability:.1%}") for one in of.worst
        ],
        version=__version__,
        now=now,
        **context,
    )


def _evaluation_context(result: EvaluationRecord, check: Check | None) -> dict[str, Any]:
    chance = max(map(sum, result.confusion)) / result.count
    best = [] if (share := _best_color(result)) is None else [("color alone", share)]
    shares = [("this network", result.accuracy), *best, ("guessing", chance)]
    return {
        "where": "validation photos" if result.split == "val" else f"photos in {result.data}",
        "verdict": _verdict(result),
        "share_bars": svg.share_bars(shares, result.intervals.accuracy),
        "figures": figure_rows(result, ("loss (cross-entropy)", result.loss)),
        "all_right": all_right_text(result.count),
        "color": "C" + color_text(result.color).removeprefix("c"),
        "caveat": _caveat(result, check),
        "most_cells": MATRIX,
        "class_rows": [
            (
                name,
                *map(_share, (one.precision, one.recall, one.f1, one.roc_area)),
                f"{one.count:,}",
            )
            for name, one in result.classes.items()
        ],
        "probabilities": probabilities_text(result),
        "reliability": svg.reliability(result.reliability, result.calibration_error),
        "bin_rows": [
            (
                f"{b.low:.2f} to {b.high:.2f}",
                f"{b.count:,}",
                f"{b.confidence:.4f}",
                f"{b.accuracy:.4f}",
            )
            for b in result.reliability
            if b.count
        ],
    }


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _best_color(result: EvaluationRecord) -> float | None:
    both = (result.color.class_mean, result.color.nearest)
    return max((share for share in both if share is not None), default=None)


def _verdict(result: EvaluationRecord) -> str:
    """Beside color alone, which is what a network must beat to have learnt more."""
    best, (low, high) = _best_color(result), result.intervals.accuracy
    if best is None:
        return ""
    if best > high:
        return f"Color alone reaches {best:.1%}, so the network has not yet learnt more than that."
    if best >= low:
        return f"Color alone reaches {best:.1%}: too near to tell them apart by so few photos."
    return f"That is more than color alone reaches: {best:.1%}."


def _caveat(result: EvaluationRecord, check: Check | None) -> str:
    """What flatters the figures."""
    if result.split == "val":
        text = (
            "The best epoch was chosen on these very photos, which flatters every figure a little."
        )
        if check and check.split_leaks:
            leaks = f"{check.split_leaks:,} of the validation photos"
            text += f" {leaks} are among those of training too."
        return text
    if result.trained_on is None:
        return "Figures of photos that the network was trained on, if any are here, are flattered."
    if not result.trained_on:
        return "The network was trained on none of these photos."
    known = f"{result.trained_on:,} of these {result.count:,} photos"
    return f"The network was trained on {known}, which flatters every figure."


def _curves(history: History, best: Epoch) -> Iterator[tuple[Markup, str]]:
    """Charts of accuracy and loss by epoch, with their captions."""
    for name in ("accuracy", "loss"):
        lines = [
            svg.Line(kind, part, [(row.epoch, getattr(row, f"{prefix}{name}")) for row in history])
            for kind, part, prefix in (("first", "training", ""), ("second", "validation", "val_"))
        ]
        values = [y for line in lines for _, y in line.points if math.isfinite(y)]
        highest = max(values, default=0.0) or 1.0
        step = svg.tick(highest)
        top = 1.0 if name == "accuracy" else step * math.ceil(highest / step)
        value = getattr(best, f"val_{name}")
        chart = svg.curves(name.capitalize(), lines, (best.epoch, value), top=top)
        yield chart, f"{name.capitalize()} by epoch; best epoch: {value:.4f}"


def _epoch(row: Epoch) -> tuple[str, ...]:
    figures = (row.loss, row.accuracy, row.val_loss, row.val_accuracy)
    shares = (f"{figure:.4f}" for figure in figures)
    return str(row.epoch), *shares, f"{row.learning_rate:.2e}", f"{row.seconds:,.1f}"
