"""A calibration as a person reads it."""

from __future__ import annotations

from shlex import quote
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from kvgg_jax.cli.console import print_line
from kvgg_jax.core.text import program
from kvgg_jax.evaluation.record import BINS
from kvgg_jax.inference.temperature import FILE, UNSURE_BELOW

SURE = 2  # standard errors, from which on a gain is called one

if TYPE_CHECKING:
    from kvgg_jax.evaluation.calibration import Calibrated
    from kvgg_jax.inference.temperature import Calibration


def calibration_text(result: Calibrated) -> None:
    """The temperature, what it is worth, and what happens now."""
    console, of, run = Console(), result.calibration, result.run
    print_line(
        console,
        f"{run}: temperature {of.temperature:.3f}, fitted on {of.count} images ({of.split}), "
        f"{of.wrong} of them misclassified",
        "bold",
    )
    table = Table("figure", "before", "after")
    for label, name in (
        ("cross-entropy", "loss"),
        (f"calibration error ({BINS} bins)", "calibration_error"),
    ):
        table.add_row(label, *(f"{getattr(part, name):.4f}" for part in (of.before, of.after)))
    console.print(table)
    folds = of.fold_temperatures
    print_line(
        console,
        f"After: cross-fitted in {len(folds)} folds, so that no image is at a temperature that it "
        f"helped to fit ({min(folds):.3f} to {max(folds):.3f}).",
    )
    print_line(console, _verdict(of))
    if not result.is_stored:
        return
    print_line(
        console,
        f"Wrote {run / FILE}: predict and evaluate use it; predict says 'unsure' below "
        f"{UNSURE_BELOW:.0%}.",
    )
    print_line(console, f"To remove it: {program()} calibrate --run {quote(str(run))} --remove")


def _verdict(of: Calibration) -> str:
    gain, error = of.before.loss - of.after.loss, of.gain_error
    if gain < SURE * error:
        return (
            f"That gains {gain:.4f} of cross-entropy with a standard error of {error:.4f}: "
            "it may be chance. More images, with more mistakes among them, would tell."
        )
    text = f"The network was {'too sure' if of.temperature > 1 else 'not sure enough'} of itself."
    if of.after.calibration_error > of.before.calibration_error:
        text += (
            " The calibration error rose all the same: a temperature lowers the cross-entropy, "
            f"and {of.count} images in {BINS} bins tell little. More of them would tell."
        )
    return text
