"""`kvgg audit`: which photos have a wrong label."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from kvgg_jax.cli import completion
from kvgg_jax.cli.app import command
from kvgg_jax.cli.console import Screen
from kvgg_jax.cli.flags import Given
from kvgg_jax.cli.options import RUNS, Json, Out, takes_settings
from kvgg_jax.cli.output import print_json, print_note
from kvgg_jax.core.errors import UsageError
from kvgg_jax.core.text import escape_name

SETTINGS = {
    *("data.root", "data.image_size", "data.resize", "data.skip_bad", "data.cache"),
    *("model.arch", "model.width", "model.batch_norm", "model.weights"),
    *("train.batch_size", "seed"),
}
DEFAULTS = {"model.weights": "imagenet", "model.freeze": "backbone"}


@command(cls=takes_settings((), also=SETTINGS, defaults=DEFAULTS))
def audit(
    ctx: typer.Context,
    folder: Annotated[
        Path | None, typer.Argument(help="Photos, one sub-folder per class, or a list.")
    ] = None,
    run: Annotated[
        str | None,
        typer.Option(
            help="A cross-validation, instead of a folder: its folder or name.",
            autocompletion=completion.runs,
        ),
    ] = None,
    moves: Annotated[
        Path | None, typer.Option(help="Write the suggested classes to this CSV file.")
    ] = None,
    html: Annotated[
        Path | None, typer.Option(help="Write an HTML page with the photos to this file.")
    ] = None,
    apply: Annotated[
        Path | None,
        typer.Option(help="Move the photos that this CSV file names; without --yes, only check."),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="With --apply, move the files.")] = False,
    out: Out = RUNS,
    json: Json = False,
) -> None:
    """Find photos whose label is probably wrong, duplicates in several classes, outliers.

    Each photo is judged by a model that was not trained on it: by its features from a backbone with
    ImageNet weights, or with --run by the fold of a cross-validation that held it out.

    --apply checks all moves of a file and prints them; with --yes too, it makes them, and writes a
    file of moves that undoes them. It overwrites no photo.

    Example: `kvgg audit photos --moves moves.csv --html audit.html`
    """
    given: Given = ctx.obj
    flags = [typed for typed, _ in given.flags.values()]
    if apply is not None:
        others = {"a folder": folder, "--run": run, "--moves": moves, "--html": html}
        if extra := [*(name for name, value in others.items() if value), *flags]:
            raise UsageError(f"--apply cannot be combined with {extra[0]}.")
        _apply(apply, dry_run=not yes, json=json)
        return
    if yes:
        raise UsageError("--yes needs --apply.")
    if run is not None and flags:
        raise UsageError(f"--run has its own settings; {flags[0]} cannot change them.")
    if moves:
        _check_moves(moves, html)
    settings = given.resolve()
    from kvgg_jax.cli.text.audit import audit_text
    from kvgg_jax.evaluation.label_audit import audit as audits
    from kvgg_jax.evaluation.label_audit.moves import write_moves
    from kvgg_jax.web.html.audit_page import write_audit
    from kvgg_jax.web.html.page import check_writable

    for file, option in ((moves, "--moves"), (html, "--html")):
        if file:
            check_writable(file, option=option)
    with Screen() as screen:
        result = audits.audit(folder, run=run, config=settings, out=out, emit=screen)
        if html:
            write_audit(result, html, emit=screen)
        if moves:
            write_moves(result, moves)
    for file in filter(None, (html, moves)):
        print_note(f"Wrote {file}")
    print_json(result.to_json()) if json else audit_text(result)


def _check_moves(moves: Path, html: Path | None) -> None:
    """Raises UsageError for a name that is taken: rows may have been removed from that file."""
    name = escape_name(moves)
    if moves.suffix.lower() != ".csv":
        raise UsageError(f"--moves {name}: the name ends in .csv.")
    if html and os.path.realpath(html) == os.path.realpath(moves):
        raise UsageError(f"--moves and --html are both {name}.")
    if os.path.lexists(moves):
        raise UsageError(f"--moves {name} exists. Choose another name, or remove it.")


def _apply(file: Path, *, dry_run: bool, json: bool) -> None:
    from kvgg_jax.cli.text.audit import applied_text
    from kvgg_jax.evaluation.label_audit.apply import apply_moves

    with Screen() as screen:
        found = apply_moves(file, dry_run=dry_run, emit=screen)
    print_json(found.to_json()) if json else applied_text(found)
