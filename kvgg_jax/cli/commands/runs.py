"""`kvgg runs`: which runs there are, and which is better."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from kvgg_jax.cli import completion
from kvgg_jax.cli.app import RUNS, Json, Out, app, handle_errors, print_json, stderr_console
from kvgg_jax.cli.console import Screen, print_line
from kvgg_jax.core.errors import UsageError
from kvgg_jax.core.text import program


@app.command("runs")
@handle_errors
def list_or_compare(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[RUN...]", help="Folders or names to compare.", autocompletion=completion.runs
        ),
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="Compare on these photos instead of the validation photos.")
    ] = None,
    out: Out = RUNS,
    json: Json = False,
) -> None:
    """List the runs, or compare some and test whether they really differ.

    Example: `kvgg runs slim full`
    """
    if data is not None and len(names or ()) < 2:
        raise UsageError("--data needs at least two runs to compare.")
    if len(names or ()) > 1:
        _compare(names or [], data, out, json)
        return
    from kvgg_jax.cli.text import runs as show_runs
    from kvgg_jax.runs import listing

    found = listing.summarise(names, out=out) if names else listing.list_runs(out)
    if json:
        print_json([one.to_json() for one in found])
    elif found:
        show_runs.runs_text(found)
    for one in found:
        if isinstance(one, listing.DamagedRun):
            print_line(stderr_console(), f"Damaged: {one.fault}", "yellow")
    if not found:
        print_line(
            stderr_console(), f"No runs in {out}. Train one first: {program()} train --data DIR"
        )


def _compare(names: list[str], data: Path | None, out: Path, json: bool) -> None:
    from kvgg_jax.cli.text import runs as show_runs
    from kvgg_jax.evaluation import comparison

    with Screen(stderr_console()) as screen:
        result = comparison.compare_runs(names, data=data, out=out, emit=screen)
    print_json(result.to_json()) if json else show_runs.comparison_text(result)
