"""What `kvgg lr-find` and `kvgg tune` found, as text and JSON."""

from __future__ import annotations

from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any

from rich.console import Console

from kvgg_jax.cli.console import print_line
from kvgg_jax.core.text import duration, program
from kvgg_jax.training.search.space import short

if TYPE_CHECKING:
    from kvgg_jax.training.search.lr_range import RangeTest
    from kvgg_jax.training.search.study import Trial
    from kvgg_jax.training.search.tuning import TuneResult


def save_rates(result: RangeTest, file: Path) -> Path:
    """Draw the losses by rate. Raises RunError when it cannot be written."""
    from kvgg_jax.runs.charts import draw_rates

    draw_rates(
        result.rates,
        result.losses,
        result.smoothed,
        file,
        lowest=result.rates[result.lowest],
        suggested=result.suggested,
    )
    return file


def rates_json(result: RangeTest, chart: Path) -> dict[str, Any]:
    """`{"suggested", "lowest": {"rate", "loss"}, "reason", "picture", "rates", ...}`."""
    lowest = {
        "rate": result.rates[result.lowest],
        "loss": result.smoothed[result.lowest],
    }
    return {
        "suggested": result.suggested,
        "lowest": lowest,
        "still_falling": result.still_falling,
        "reason": result.reason,
        "picture": str(chart),
        "rates": result.rates,
        "losses": result.losses,
        "smoothed": result.smoothed,
    }


def rates_text(result: RangeTest, chart: Path) -> None:
    """The suggestion, where it comes from, and what speaks against it."""
    console, lowest = Console(), result.lowest
    if result.suggested is None:
        print_line(console, "No learning rate to suggest: the loss never fell.", "bold")
        print_line(console, f"Try more --steps, or a higher --high. Losses by rate: {chart}")
        return
    print_line(console, f"Suggested learning rate: {result.suggested:.1e}", "bold")
    print_line(
        console,
        f"A third of {result.rates[lowest]:.1e}, where the smoothed loss was lowest "
        f"({result.smoothed[lowest]:.3f}); {result.reason}.",
    )
    if result.still_falling:
        print_line(console, "The loss was still falling there: try a higher --high.", "yellow")
    print_line(console, f"Losses by rate: {chart}")
    print_line(console, f"To train with it: the same settings, and --lr {result.suggested:.1e}")


def tune_json(result: TuneResult) -> dict[str, Any]:
    """`{"folder", "config", "best": {...}, "trials": [{...}, ...]}`."""
    return {
        "folder": str(result.folder),
        "config": str(result.config),
        "best": _trial_json(result.best),
        "trials": [_trial_json(trial) for trial in result.trials],
    }


def _trial_json(trial: Trial) -> dict[str, Any]:
    names = ("number", "state", "epochs", "epoch", "val_accuracy", "val_loss", "seconds", "values")
    return {"run": str(trial.run), **{name: getattr(trial, name) for name in names}}


def tune_text(result: TuneResult) -> None:
    """The trials, the best first, and the next command to type."""
    console, best = Console(), result.best
    print_line(console, "trial          state  accuracy      loss  epochs     time  tried", "bold")
    for trial in sorted(result.trials, key=lambda trial: trial.rank, reverse=True):
        print_line(console, _trial_line(trial), "green" if trial is best else "")
    print_line(
        console,
        f"Best: trial {best.number} in {best.run}, validation accuracy {_figure(best.val_accuracy)}"
        f" in epoch {best.epoch}",
        "bold",
    )
    print_line(console, f"Its settings: {result.config}")
    print_line(console, f"Next: {program()} evaluate --run {quote(str(best.run))}")
    print_line(console, f"      {program()} train --config {quote(str(result.config))} --epochs N")


def _trial_line(trial: Trial) -> str:
    tried = ", ".join(f"{key} {short(value)}" for key, value in trial.values.items())
    return (
        f"{trial.number:>5}  {trial.state:>13}  {_figure(trial.val_accuracy):>8}  "
        f"{_figure(trial.val_loss):>8}  {trial.epochs:>6}  {duration(trial.seconds):>7}  {tried}"
    )


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"
