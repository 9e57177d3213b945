"""`kvgg recipes`: the configurations that come with the program."""

from __future__ import annotations

from kvgg_jax.cli.app import command
from kvgg_jax.cli.options import Json
from kvgg_jax.cli.output import print_json


@command()
def recipes(json: Json = False) -> None:
    """List the recipes for --recipe: what each is for, and what to expect of it.

    Example: `kvgg recipes`
    """
    from dataclasses import asdict

    from rich.console import Console
    from rich.markup import escape
    from rich.padding import Padding

    from kvgg_jax.cli.recipes import recipes as all_recipes

    found = all_recipes()
    if json:
        rows = [{**asdict(recipe), "file": str(recipe.file)} for recipe in found]
        return print_json({"recipes": rows})
    console = Console()
    for recipe in found:
        console.print(f"[bold]{recipe.name}[/bold]")
        for name in ("why", "expect", "command"):
            text = f"{name.capitalize()}: {escape(getattr(recipe, name))}"
            console.print(Padding(text, (0, 0, 0, 2), expand=False), highlight=False)
    return None
