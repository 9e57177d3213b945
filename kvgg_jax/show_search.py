"""What `kvgg lr-find` found, as text, JSON and a picture."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from kvgg_jax.console import say

if TYPE_CHECKING:
    from kvgg_jax.lr_range import RangeTest


def save_rates(result: RangeTest, file: Path) -> Path:
    """Draw the losses by rate. Raises RunError when it cannot be written."""
    from kvgg_jax.charts import draw_rates

    draw_rates(
        result.rates,
        result.losses,
        result.smoothed,
        file,
        lowest=result.rates[result.lowest],
        suggested=result.suggested,
    )
    return file


def rates_json(result: RangeTest, picture: Path) -> dict[str, Any]:
    """`{"suggested", "lowest": {"rate", "loss"}, "reason", "picture", "rates", ...}`."""
    lowest = {
        "rate": result.rates[result.lowest],
        "loss": result.smoothed[result.lowest],
    }
    return {
        "suggested": result.suggested,
        "lowest": lowest,
        "reason": result.reason,
        "picture": str(picture),
        "rates": result.rates,
        "losses": result.losses,
        "smoothed": result.smoothed,
    }


def rates_text(result: RangeTest, picture: Path) -> None:
    """The suggestion, where it comes from, and what speaks against it."""
    console, lowest, last = Console(), result.lowest, len(result.rates) - 1
    say(console, f"Suggested learning rate: {result.suggested:.1e}", "bold")
    say(
        console,
        f"A tenth of {result.rates[lowest]:.1e}, where the smoothed loss was lowest "
        f"({result.smoothed[lowest]:.3f}); {result.reason}.",
    )
    if lowest == last:
        say(console, "The loss was still falling there: try a higher --high.", "yellow")
    if lowest == 0:
        say(console, "The loss never fell: try a lower --low, or more --steps.", "yellow")
    say(console, f"Losses by rate: {picture}")
    say(console, f"To train with it: the same settings, and --lr {result.suggested:.1e}")
