"""`kvgg crossval`."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from kvgg_jax.cli.app import (
    app,
    handle_errors,
    interrupt_between_runs,
    print_json,
    stderr_console,
    stoppable,
    with_options_of,
)
from kvgg_jax.cli.commands.train import train
from kvgg_jax.cli.console import Screen, print_line
from kvgg_jax.core.errors import UsageError

WITHOUT = {"name", "overwrite", "resume", "val_split"}
DEALT = {"data.val_split", "data.folds", "data.fold"}


@app.command()
@handle_errors
@with_options_of(train, taking=lambda name: name not in WITHOUT)
def crossval(
    folds: Annotated[int, typer.Option(min=2, help="Number of folds; each is held out once.")] = 5,
    name: Annotated[
        str | None, typer.Option(help="Name of the folder. Default: crossval, arch, head.")
    ] = None,
    **given: Any,
) -> None:
    """Cross-validate: train once per fold and report mean and spread of the accuracy.

    Takes the options of train. If it was stopped, the same command resumes it.

    Example: `kvgg crossval --data photos --folds 5 --head slim --image-size 96`
    """
    from kvgg_jax.cli.flags import all_typed
    from kvgg_jax.core.config_file import resolve

    flags = all_typed(given)
    for key, (text, value) in flags.items():
        if key in DEALT:
            raise UsageError(f"{text}: crossval splits by folds; set their number with --folds.")
        if (key, value) == ("data.split", "keras"):
            raise UsageError(f"{text}: not for folds; use stratified or grouped.")
    settings = resolve(given["config"], flags)
    with Screen(stderr_console()) as screen, stoppable(screen, _how_to_go_on) as stop:
        from kvgg_jax.training.search import crossval as api

        emit = interrupt_between_runs(screen, stop)
        result = api.crossval(
            settings, folds=folds, out=given["out"], name=name, stop=stop, emit=emit
        )
    from kvgg_jax.cli.text import results as show

    print_json(result.to_json()) if given["json"] else show.crossval_text(result)


def _how_to_go_on(screen: Screen, saved: str | None) -> None:
    print_line(screen.console, f"{saved or 'Stopped.'} The same command resumes.")
