"""`kvgg runs`: what runs there are, and which is better."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from kvgg_jax.cli import completion
from kvgg_jax.cli.app import command
from kvgg_jax.cli.console import Screen
from kvgg_jax.cli.options import RUNS, Json, Out
from kvgg_jax.cli.output import print_json, print_note
from kvgg_jax.core.errors import UsageError
from kvgg_jax.core.text import program


@command("runs")
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
    several = names if names and len(names) > 1 else None
    if data is not None and not several:
        raise UsageError("--data needs at least two runs to compare.")
    from kvgg_jax.cli.text.runs import comparison_text, runs_text

    if several:
        from kvgg_jax.evaluation.comparison import compare_runs

        with Screen() as screen:
            result = compare_runs(several, data=data, out=out, emit=screen)
        return print_json(result.to_json()) if json else comparison_text(result)
    from kvgg_jax.runs import listing

    found = listing.summarise(names, out=out) if names else listing.list_runs(out)
    if json:
        print_json([one.to_json() for one in found])
    elif found:
        runs_text(found)
    for one in found:
        if isinstance(one, listing.DamagedRun):
            print_note(f"Damaged: {one.fault}", "yellow")
    if not found:
        print_note(f"No runs in {out}. Train one first: {program()} train --data DIR")
    return None
