"""Sentences on an evaluation that the terminal and the page share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kvgg_jax.evaluation.metrics import LEVEL

if TYPE_CHECKING:
    from kvgg_jax.inference.temperature import Calibration


def probabilities_text(of: Calibration | None, *, data: str, split: str) -> str:
    """What the probabilities of an evaluation are, of photos in `data`."""
    if of is None:
        return "Probabilities: not calibrated"
    text = (
        f"Probabilities: calibrated, temperature {of.temperature:.3f}, fitted on {of.count} images"
    )
    if of.data != data:
        return f"{text} of {of.data}"
    if of.split != split:
        return f"{text} ({of.split})"
    return f"{text}, the same as here: loss and calibration error are optimistic"


def all_right_text(count: int) -> str:
    """The bootstrap cannot tell here: it never draws a mistake that was not made."""
    most = 1 - (1 - LEVEL) ** (1 / count)  # Clopper & Pearson 1934, one-sided, for none of `count`
    return f"All are right. With only {count} images, up to {most:.1%} may still be wrong."
