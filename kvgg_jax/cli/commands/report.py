"""`kvgg report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from kvgg_jax.cli.app import (
    RUNS,
    Json,
    Out,
    RunOption,
    SkipBad,
    app,
    handle_errors,
    print_json,
    stderr_console,
)
from kvgg_jax.cli.commands.evaluate import Others, Part, check_part
from kvgg_jax.cli.console import Screen, print_line


@app.command()
@handle_errors
def report(
    run: RunOption = None,
    output: Annotated[
        Path | None, typer.Option(help="File to write. Default: report.html, in the run folder.")
    ] = None,
    data: Others = None,
    split: Part = None,
    skip_bad: SkipBad = None,
    mistakes: Annotated[
        int | None, typer.Option(min=0, max=24, help="Number of mistakes to show. Default: 12.")
    ] = None,
    check: Annotated[
        bool, typer.Option("--check/--no-check", help="Include the results of data check.")
    ] = True,
    out: Out = RUNS,
    json: Json = False,
) -> None:
    """Write a report of a run: one HTML file that needs no network.

    A run that was not evaluated yet is evaluated first.

    Example: `kvgg report --run runs/coffee --output coffee.html`
    """
    check_part(split)
    from kvgg_jax.web.html import report

    with Screen(stderr_console()) as screen:
        made = report.report(
            run,
            output=output,
            data=data,
            split=split,
            skip_bad=skip_bad,
            mistakes=report.MISTAKES if mistakes is None else mistakes,
            check=check,
            out=out,
            emit=screen,
        )
    if json:
        print_json(made.to_json())
        return
    print_line(
        Console(), f"Wrote {made.path}: {', '.join(made.contents)} ({made.size / 1e3:,.0f} kB)"
    )
