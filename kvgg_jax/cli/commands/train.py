"""`kvgg train` and `kvgg crossval`."""

from __future__ import annotations

import os
from functools import partial
from operator import attrgetter
from shlex import quote
from typing import Annotated, Any

import typer

from kvgg_jax.cli import completion
from kvgg_jax.cli.app import command, repeat_to_resume, stoppable
from kvgg_jax.cli.console import Screen
from kvgg_jax.cli.flags import Given, check_resume
from kvgg_jax.cli.hosts import Coordinator, Process, Processes, joined
from kvgg_jax.cli.options import RUNS, Json, Out, takes_settings
from kvgg_jax.cli.output import print_json, print_line
from kvgg_jax.cli.watcher import TEXT, TEXT_OF_SEVERAL, watched
from kvgg_jax.core.errors import UsageError
from kvgg_jax.core.text import program

SET_BY_FOLDS = {"data.val_split", "data.folds", "data.fold"}


@command(cls=takes_settings())
def train(
    ctx: typer.Context,
    out: Out = RUNS,
    name: Annotated[str | None, typer.Option(help="Run name. Default: date, arch, head.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace that run.")] = False,
    resume: Annotated[
        str | None,
        typer.Option(
            help="Resume this run; --epochs, --track, --devices, --shard may change.",
            autocompletion=completion.runs,
        ),
    ] = None,
    coordinator: Coordinator = None,
    processes: Processes = None,
    process: Process = None,
    json: Json = False,
) -> None:
    """Train a classifier on a folder of photos and keep the best epoch.

    Example: `kvgg train --data photos --recipe fast`
    """
    given: Given = ctx.obj
    if resume is not None:
        check_resume(given, name=name, overwrite=overwrite)
    settings = given.resolve()
    known = resume if resume is None or os.path.exists(resume) else str(out / resume)
    report = partial(_how_to_resume, resume=known)
    with (
        joined(coordinator, processes, process) as console,
        Screen(console) as screen,
        stoppable(screen, report) as stop,
        watched(TEXT if processes is None else TEXT_OF_SEVERAL),
    ):
        from kvgg_jax.training import trainer

        if resume is None:
            result = trainer.train(
                settings, out=out, name=name, overwrite=overwrite, stop=stop, emit=screen
            )
        else:
            changed: dict[str, Any] = {
                key.removeprefix("train."): attrgetter(key)(settings) for key in given.flags
            }
            result = trainer.resume(resume, **changed, out=out, stop=stop, emit=screen)
    if console.quiet:
        return
    from kvgg_jax.cli.text import results as show

    print_json(show.train_json(result)) if json else show.train_text(result)


def _how_to_resume(screen: Screen, saved: str | None, *, resume: str | None) -> None:
    run, show = screen.run or resume, partial(print_line, console=screen.console)
    if run is None:
        show("Stopped before the run started; nothing was written.")
        return
    show(f"{saved or 'Stopped before the first step.'} To resume:")
    show(f"  {program()} train --resume {quote(str(run))}")


@command(cls=takes_settings(without={"data.val_split"}, defaults={"data.split": "grouped"}))
def crossval(
    ctx: typer.Context,
    folds: Annotated[int, typer.Option(min=2, help="Parts, each held out once.")] = 5,
    fold: Annotated[
        int | None,
        typer.Option(min=1, help="Train this one alone; without it, all that are not done."),
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="Name of the folder. Default: crossval, arch, head.")
    ] = None,
    out: Out = RUNS,
    json: Json = False,
) -> None:
    """Cross-validate: train once per fold and report mean and spread of the accuracy.

    Takes the options of train. If it was stopped, the same command resumes it.

    Example: `kvgg crossval --data photos --recipe fast --folds 5`
    """
    given: Given = ctx.obj
    for key, (text, value) in given.flags.items():
        if key in SET_BY_FOLDS:
            raise UsageError(f"{text}: crossval splits by folds; set their number with --folds.")
        if (key, value) == ("data.split", "keras"):
            raise UsageError(f"{text}: not for folds; use stratified or grouped.")
    settings = given.resolve()
    with Screen() as screen, stoppable(screen, repeat_to_resume) as stop, watched():
        from kvgg_jax.training.search import crossval as api

        result = api.crossval(
            settings,
            folds=folds,
            fold=fold,
            out=out,
            name=name,
            stop=stop,
            before_run=stop.rest,
            emit=screen,
        )
    from kvgg_jax.cli.text.results import crossval_text

    print_json(result.to_json()) if json else crossval_text(result)
