"""A calibration as text."""

from __future__ import annotations

from shlex import quote
from typing import TYPE_CHECKING

from kvgg_jax.cli.output import print_line, print_table
from kvgg_jax.core.text import program
from kvgg_jax.evaluation.record import BINS
from kvgg_jax.inference.temperature import FILE, UNSURE_BELOW

if TYPE_CHECKING:
    from kvgg_jax.evaluation.calibration import Calibrated
    from kvgg_jax.inference.temperature import Calibration

SURE = 2  # standard errors that a gain must exceed


def calibration_text(result: Calibrated) -> None:
    """The temperature, what it gains, and where it is stored."""
    of, run = result.calibration, result.run
    print_line(
        f"{run}: temperature {of.temperature:.3f}, fitted on {of.count} images ({of.split}), "
        f"{of.wrong} of them misclassified",
        "bold",
    )
    losses = ("cross-entropy", f"{of.before.loss:.4f}", f"{of.after.loss:.4f}")
    errors = (f"{part.calibration_error:.4f}" for part in (of.before, of.after))
    rows = (losses, (f"calibration error ({BINS} bins)", *errors))
    print_table(("metric", "before", "after"), rows)
    folds = of.fold_temperatures
    print_line(
        f"After: cross-fitted in {len(folds)} folds, so each photo is measured at a temperature "
        f"fitted without it ({min(folds):.3f} to {max(folds):.3f})."
    )
    print_line(_verdict(of))
    if not result.is_stored:
        return
    print_line(
        f"Wrote {run / FILE}: predict and evaluate use it; predict says 'unsure' below "
        f"{UNSURE_BELOW:.0%}."
    )
    print_line(f"To remove it: {program()} calibrate --run {quote(str(run))} --remove")


def _verdict(of: Calibration) -> str:
    gain, error = of.before.loss - of.after.loss, of.gain_error
    if gain < SURE * error:
        return (
            f"The cross-entropy falls by {gain:.4f} with a standard error of {error:.4f}: this may "
            "be chance. Calibrate on more images to find out."
        )
    text = f"The network was {'over' if of.temperature > 1 else 'under'}confident."
    if of.after.calibration_error > of.before.calibration_error:
        text += (
            " Still, the calibration error rose: it is a rough estimate from "
            f"{of.count} images in {BINS} bins, and a temperature lowers the cross-entropy only."
        )
    return text
