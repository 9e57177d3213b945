"""Sentences and rows on an evaluation that the terminal and the page share."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import mean
from typing import TYPE_CHECKING

from kvgg_jax.evaluation.bootstrap import LEVEL

if TYPE_CHECKING:
    from kvgg_jax.evaluation.record import EvaluationRecord


def probabilities_text(result: EvaluationRecord) -> str:
    """What the probabilities of an evaluation are."""
    of = result.calibration
    if of is None:
        return "Probabilities: not calibrated"
    text = (
        f"Probabilities: calibrated, temperature {of.temperature:.3f}, fitted on {of.count} images"
    )
    if of.data != result.data:
        return f"{text} of {of.data}"
    if of.split != result.split:
        return f"{text} ({of.split})"
    return f"{text}, the same as here: loss and calibration error are optimistic"


def all_right_text(count: int) -> str:
    """The bootstrap cannot tell here: it never draws a mistake that was not made."""
    most = 1 - (1 - LEVEL) ** (1 / count)  # Clopper & Pearson 1934, one-sided, for none of `count`
    return f"All are right. With only {count} images, up to {most:.1%} may still be wrong."


def figure_rows(result: EvaluationRecord, *also: tuple[str, float]) -> Iterator[tuple[str, ...]]:
    """Name, value and interval of each figure, `also` after those with one."""
    for label, name in (
        ("accuracy", "accuracy"),
        ("balanced accuracy", "balanced_accuracy"),
        ("macro F1", "macro_f1"),
        ("Matthews correlation", "matthews"),
    ):
        low, high = getattr(result.intervals, name)
        yield label, f"{getattr(result, name):.4f}", f"{low:.4f} to {high:.4f}"
    areas = [one.roc_area for one in result.classes.values() if one.roc_area is not None]
    for label, value in (
        *((f"top-{k} accuracy", share) for k, share in result.top_k.items()),
        *also,
        *([("ROC area, mean of classes", mean(areas))] if areas else []),
    ):
        yield label, f"{value:.4f}", ""
