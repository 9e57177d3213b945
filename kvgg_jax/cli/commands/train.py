"""`kvgg train`."""

from __future__ import annotations

import os
from functools import partial
from operator import attrgetter
from shlex import quote
from typing import Annotated, Any

import typer

from kvgg_jax.cli import completion
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
from kvgg_jax.cli.flags import Given, check_resume
from kvgg_jax.cli.options import takes_settings
from kvgg_jax.core.text import program


@app.command(cls=takes_settings())
@handle_errors
def train(
    ctx: typer.Context,
    out: Out = RUNS,
    name: Annotated[str | None, typer.Option(help="Run name. Default: date, arch, head.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace that run.")] = False,
    resume: Annotated[
        str | None,
        typer.Option(
            help="Resume this run; --epochs and --track may change.",
            autocompletion=completion.runs,
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Train a classifier on a folder of photos and keep the best epoch.

    Example: `kvgg train --data photos --head slim --image-size 96 --epochs 20`
    """
    given: Given = ctx.obj
    if resume is not None:
        check_resume(given, name=name, overwrite=overwrite)
    settings = given.resolve()
    known = resume if resume is None or os.path.exists(resume) else str(out / resume)
    go_on = partial(_how_to_go_on, resume=known)
    with Screen(stderr_console()) as screen, stoppable(screen, go_on) as stop:
        from kvgg_jax.training import trainer

        if resume is None:
            result = trainer.train(
                settings, out=out, name=name, overwrite=overwrite, stop=stop, emit=screen
            )
        else:
            asked: dict[str, Any] = {
                key.removeprefix("train."): attrgetter(key)(settings) for key in given.flags
            }
            result = trainer.resume(resume, **asked, out=out, stop=stop, emit=screen)
    from kvgg_jax.cli.text import results as show

    print_json(show.train_json(result)) if json else show.train_text(result)


def _how_to_go_on(screen: Screen, saved: str | None, *, resume: str | None) -> None:
    run = screen.run or resume
    if run is None:
        print_line(screen.console, "Stopped before the run started; nothing was written.")
        return
    print_line(screen.console, f"{saved or 'Stopped before the first step.'} To resume:")
    print_line(screen.console, f"  {program()} train --resume {quote(str(run))}")
