"""The results of `kvgg lr-find` and `kvgg tune` as text and JSON."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any

from kvgg_jax.cli.output import print_line
from kvgg_jax.core.history import EXTRA, title
from kvgg_jax.core.text import duration, figure, program
from kvgg_jax.training.search.space import short

if TYPE_CHECKING:
    from kvgg_jax.training.search.lr_range import RangeTest
    from kvgg_jax.training.search.study import Trial
    from kvgg_jax.training.search.tuning import TuneResult


def save_rates(result: RangeTest, file: Path) -> Path:
    """Draw the losses by rate. Raises RunError if the file cannot be written."""
    from kvgg_jax.runs.charts import draw_rates

    lowest, suggested = result.rates[result.lowest], result.suggested
    draw_rates(
        result.rates, result.losses, result.smoothed, file, lowest=lowest, suggested=suggested
    )
    return file


def rates_json(result: RangeTest, chart: Path) -> dict[str, Any]:
    """The object that docs/json.md describes."""
    at = result.lowest
    return {
        "suggested": result.suggested,
        "lowest": {"rate": result.rates[at], "loss": result.smoothed[at]},
        "still_falling": result.still_falling,
        "reason": result.reason,
        "picture": str(chart),
        "rates": result.rates,
        "losses": result.losses,
        "smoothed": result.smoothed,
    }


def rates_text(result: RangeTest, chart: Path) -> None:
    """The suggested rate, how it was found, and what speaks against it."""
    rate, loss = result.rates[result.lowest], result.smoothed[result.lowest]
    if result.suggested is None:
        print_line("No learning rate to suggest: the loss never fell.", "bold")
        print_line(f"Try more --steps, or a higher --high. Losses by rate: {chart}")
        return
    print_line(f"Suggested learning rate: {result.suggested:.1e}", "bold")
    where = f"where the smoothed loss was lowest ({loss:.3f})"
    print_line(f"A third of {rate:.1e}, {where}; {result.reason}.")
    if result.still_falling:
        print_line("The loss was still falling there: try a higher --high.", "yellow")
    print_line(f"Losses by rate: {chart}")
    print_line(f"To train with it: the same settings, and --lr {result.suggested:.1e}")


def tune_json(result: TuneResult) -> dict[str, Any]:
    """The object that docs/json.md describes."""
    return {
        "folder": str(result.folder),
        "config": str(result.config),
        "best": _trial_json(result.best),
        "trials": [_trial_json(trial) for trial in result.trials],
    }


def _trial_json(trial: Trial) -> dict[str, Any]:
    found = {**asdict(trial), "run": str(trial.run)}
    return {name: value for name, value in found.items() if name not in EXTRA or value is not None}


def tune_text(result: TuneResult) -> None:
    """The trials, the best first, and the next commands."""
    best = result.best
    own = f"  {title(best.monitor)}" if f"val_{best.monitor}" in EXTRA else ""
    print_line(f"trial          state  accuracy      loss{own}  epochs     time  tried", "bold")
    for trial in sorted(result.trials, key=lambda trial: trial.rank, reverse=True):
        print_line(_trial_line(trial), "green" if trial is best else "")
    reached = f"validation {title(best.monitor)} {figure(best.monitored, '.4f')}"
    where = f"{best.run} on {best.host}" if best.host else best.run
    print_line(f"Best: trial {best.number} in {where}, {reached} in epoch {best.epoch}", "bold")
    print_line(f"Its settings: {result.config}")
    print_line(f"Next: {program()} evaluate --run {quote(str(best.run))}")
    print_line(f"      {program()} train --config {quote(str(result.config))} --epochs N")


def _trial_line(trial: Trial) -> str:
    accuracy, loss = (figure(value, ".4f") for value in (trial.val_accuracy, trial.val_loss))
    tried = ", ".join(f"{key} {short(value)}" for key, value in trial.values.items())
    own = ""
    if f"val_{trial.monitor}" in EXTRA:
        own = f"  {figure(trial.monitored, '.4f'):>{len(title(trial.monitor))}}"
    return (
        f"{trial.number:>5}  {trial.state:>13}  {accuracy:>8}  "
        f"{loss:>8}{own}  {trial.epochs:>6}  {duration(trial.seconds):>7}  {tried}"
    )
