"""`kvgg crossval`."""

from __future__ import annotations

from typing import Annotated

import typer

from kvgg_jax.cli.app import (
    RUNS,
    Json,
    Out,
    app,
    handle_errors,
    print_json,
    stderr_console,
    stoppable,
)
from kvgg_jax.cli.console import Screen, print_line
from kvgg_jax.cli.flags import Given
from kvgg_jax.cli.options import takes_settings
from kvgg_jax.core.errors import UsageError

DEALT = {"data.val_split", "data.folds", "data.fold"}


@app.command(
    cls=takes_settings(without={"data.val_split"}, defaults={"data.split": "grouped"}),
)
@handle_errors
def crossval(
    ctx: typer.Context,
    folds: Annotated[int, typer.Option(min=2, help="Parts, each held out once.")] = 5,
    name: Annotated[
        str | None, typer.Option(help="Name of the folder. Default: crossval, arch, head.")
    ] = None,
    out: Out = RUNS,
    json: Json = False,
) -> None:
    """Cross-validate: train once per fold and report mean and spread of the accuracy.

    Takes the options of train. If it was stopped, the same command resumes it.

    Example: `kvgg crossval --data photos --folds 5 --head slim --image-size 96`
    """
    given: Given = ctx.obj
    for key, (text, value) in given.flags.items():
        if key in DEALT:
            raise UsageError(f"{text}: crossval splits by folds; set their number with --folds.")
        if (key, value) == ("data.split", "keras"):
            raise UsageError(f"{text}: not for folds; use stratified or grouped.")
    settings = given.resolve()
    with Screen(stderr_console()) as screen, stoppable(screen, _how_to_go_on) as stop:
        from kvgg_jax.training.search import crossval as api

        result = api.crossval(
            settings,
            folds=folds,
            out=out,
            name=name,
            stop=stop,
            before_run=stop.rest,
            emit=screen,
        )
    from kvgg_jax.cli.text import results as show

    print_json(result.to_json()) if json else show.crossval_text(result)


def _how_to_go_on(screen: Screen, saved: str | None) -> None:
    print_line(screen.console, f"{saved or 'Stopped.'} The same command resumes.")
