"""`kvgg lr-find` and `kvgg tune`: which settings to train with."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from kvgg_jax.cli import completion
from kvgg_jax.cli.app import command, repeat_to_resume, stoppable
from kvgg_jax.cli.console import Screen
from kvgg_jax.cli.flags import Given
from kvgg_jax.cli.options import RUNS, Json, Out, takes_settings
from kvgg_jax.cli.output import print_json
from kvgg_jax.cli.watcher import watched
from kvgg_jax.core.settings import PARTS


@command("lr-find", cls=takes_settings(PARTS - {"epochs", "saving"}, without={"optim.lr"}))
def lr_find(
    ctx: typer.Context,
    low: Annotated[float, typer.Option(help="First learning rate.")] = 1e-7,
    high: Annotated[float, typer.Option(help="Last learning rate.")] = 1.0,
    steps: Annotated[int, typer.Option(min=10, help="Steps from the first to the last.")] = 100,
    out: Out = RUNS,
    json: Json = False,
) -> None:
    """Find a learning rate: raise it step by step, and see where the loss is lowest.

    Trains a few steps with the given settings, writes `lr_find.png` into --out, and suggests a
    third of the rate at which the smoothed loss is lowest. Creates no run.

    Example: `kvgg lr-find --data photos --image-size 96`
    """
    given: Given = ctx.obj
    settings = given.resolve()
    from kvgg_jax.cli.text import search as show
    from kvgg_jax.runs import catalog
    from kvgg_jax.training.search import lr_range

    catalog.check_writable(out)
    with Screen() as screen:
        result = lr_range.lr_find(settings, low=low, high=high, steps=steps, out=out, emit=screen)
    chart = show.save_rates(result, out / catalog.LR_FIND)
    print_json(show.rates_json(result, chart)) if json else show.rates_text(result, chart)


@command(cls=takes_settings())
def tune(
    ctx: typer.Context,
    trials: Annotated[int, typer.Option(min=1, help="Number of runs, old ones included.")] = 20,
    space: Annotated[
        Path | None,
        typer.Option(help="TOML file with the search space.", autocompletion=completion.configs),
    ] = None,
    storage: Annotated[
        str | None,
        typer.Option(help="URL of a database, such as postgresql://..., for several workers."),
    ] = None,
    name: Annotated[str, typer.Option(help="Name of the search: its folder in --out.")] = "tune",
    out: Out = RUNS,
    json: Json = False,
) -> None:
    """Search for the settings with the best validation accuracy, or --monitor, with Optuna.

    Tries optim.lr (1e-5 to 1e-3, logarithmic), optim.decay_rate (0.9 to 1), model.head (slim, gap,
    256), model.dropout (0 to 0.5), train.batch_size (16, 32) and data.augment (none, light), or
    what --space says. A setting given here is not searched. If it was stopped, the same
    command resumes it. The same command with --storage on several machines shares the trials.
    Needs the extra `tune`.

    Example: `kvgg tune --data photos --image-size 48 --epochs 8 --trials 20`
    """
    from kvgg_jax.core.extras import require
    from kvgg_jax.training.search.space import DEFAULT_SPACE, check_space, read_space, without

    require("tune", by="kvgg tune")
    given: Given = ctx.obj
    settings = given.resolve()
    searched = without(read_space(space) if space else DEFAULT_SPACE, given.flags)
    check_space(searched, settings, where=str(space or "space"))
    with Screen() as screen, stoppable(screen, repeat_to_resume) as stop, watched():
        from kvgg_jax.training.search import tuning

        result = tuning.tune(
            settings,
            searched,
            trials=trials,
            storage=storage,
            out=out,
            name=name,
            stop=stop,
            before_run=stop.rest,
            emit=screen,
        )
    from kvgg_jax.cli.text import search as show

    print_json(show.tune_json(result)) if json else show.tune_text(result)
