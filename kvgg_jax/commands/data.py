"""`kvgg data ...`: folders of photos."""

from __future__ import annotations

from pathlib import Path
from shlex import quote
from typing import Annotated

import typer

from kvgg_jax.commands.app import answers, app, talk
from kvgg_jax.console import Screen, program, say

data_app = typer.Typer(no_args_is_help=True, help="Folders of photos.")
app.add_typer(data_app, name="data")


@data_app.command()
@answers
def demo(
    folder: Annotated[Path, typer.Argument(help="Where to write it; must not exist yet.")],
    per_class: Annotated[int, typer.Option(min=2, help="Pictures a class.")] = 100,
) -> None:
    """Draw the built-in demo set, coffee-like beans in four roasts, as a folder of PNG files.

    Example: `kvgg data demo beans`
    """
    from kvgg_jax.data.demo import write_demo
    from kvgg_jax.events import Progress

    with Screen(talk()) as screen:
        write_demo(
            folder,
            per_class=per_class,
            on_progress=lambda done, total: screen(Progress("drawing", done, total)),
        )
    say(talk(), f"Wrote the demo set to {folder}. Train on it:")
    say(talk(), f"  {program()} train --data {quote(str(folder))} --image-size 48")
