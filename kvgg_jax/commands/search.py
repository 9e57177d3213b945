"""`kvgg lr-find`: which settings to train with."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from kvgg_jax.commands.app import RUNS, Json, Out, answers, app, print_json, talk
from kvgg_jax.commands.settings import takes_settings
from kvgg_jax.console import Screen


@app.command("lr-find")
@answers
@takes_settings("lr", "epochs", "patience", "min_delta", "save_every_steps", "track")
def lr_find(
    low: Annotated[float, typer.Option(help="First learning rate.")] = 1e-7,
    high: Annotated[float, typer.Option(help="Last learning rate.")] = 1.0,
    steps: Annotated[int, typer.Option(min=10, help="Steps from the first to the last.")] = 100,
    out: Out = RUNS,
    json: Json = False,
    **given: Any,
) -> None:
    """Find a learning rate: raise it step by step, and see where the loss is lowest.

    Trains for a moment with the settings given, from random weights, in no run; draws
    `lr_find.png` into --out. Suggests a tenth of the rate at which the smoothed loss is lowest.

    Example: `kvgg lr-find --data photos --image-size 96`
    """
    from kvgg_jax.config import resolve
    from kvgg_jax.flags import all_typed

    settings = resolve(given["config"], all_typed(given))
    from kvgg_jax import lr_range, runs, show_search

    runs.check_writable(out)
    with Screen(talk()) as screen:
        result = lr_range.lr_find(settings, low=low, high=high, steps=steps, emit=screen)
    picture = show_search.save_rates(result, out / "lr_find.png")
    if json:
        print_json(show_search.rates_json(result, picture))
    else:
        show_search.rates_text(result, picture)
