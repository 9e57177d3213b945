"""`kvgg evaluate`, `kvgg calibrate` and `kvgg report`: how good a run is."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from kvgg_jax.cli.app import command
from kvgg_jax.cli.console import Screen
from kvgg_jax.cli.options import (
    RUNS,
    BatchSize,
    Json,
    OtherPhotos,
    Out,
    Raw,
    RunOption,
    RunOrFolds,
    SkipBad,
    Split,
    Tta,
)
from kvgg_jax.cli.output import print_json, print_line, print_note
from kvgg_jax.core.errors import UsageError


@command()
def evaluate(
    run: RunOrFolds = None,
    data: OtherPhotos = None,
    split: Split = None,
    skip_bad: SkipBad = None,
    raw: Raw = False,
    tta: Tta = False,
    unknown: Annotated[
        Path | None, typer.Option(help="Photos of none of the classes: how well are they told?")
    ] = None,
    batch_size: BatchSize = None,
    out: Out = RUNS,
    json: Json = False,
) -> None:
    """Evaluate a run: metrics with intervals, scores per class, confusion matrix, mistakes.

    Charts, and a CSV with one row per photo, are written to the run folder.

    The folds of a cross-validation are averaged; they need --data, or --split test.

    Example: `kvgg evaluate --run runs/coffee --split val`
    """
    from kvgg_jax.cli.text.evaluation import evaluation_text
    from kvgg_jax.evaluation import evaluate as evaluation
    from kvgg_jax.evaluation import files

    with Screen() as screen:
        result = evaluation.evaluate(
            run,
            data=data,
            split=split,
            skip_bad=skip_bad,
            raw=raw,
            tta=tta,
            unknown=unknown,
            batch_size=batch_size,
            out=out,
            emit=screen,
        )
        result = files.try_to_keep(result, screen)
    print_json(result.to_json()) if json else evaluation_text(result)


@command()
def calibrate(
    run: RunOption = None,
    data: OtherPhotos = None,
    split: Split = None,
    skip_bad: SkipBad = None,
    remove: Annotated[bool, typer.Option("--remove", help="Remove the calibration.")] = False,
    batch_size: BatchSize = None,
    out: Out = RUNS,
    json: Json = False,
) -> None:
    """Calibrate the probabilities on the validation photos, so that 90 % is right 9 times in 10.

    `--split all` needs --data.

    Example: `kvgg calibrate --run runs/coffee`
    """
    photos = {"--data": data, "--split": split, "--skip-bad": skip_bad}
    others = {**photos, "--batch-size": batch_size, "--json": json or None}
    if remove and (extra := [flag for flag, value in others.items() if value is not None]):
        raise UsageError(f"--remove cannot be combined with {extra[0]}.")
    from kvgg_jax.cli.text.calibration import calibration_text
    from kvgg_jax.evaluation import calibration

    if remove:
        print_note(f"Removed {calibration.remove_calibration(run, out=out)}")
        return
    with Screen() as screen:
        result = calibration.calibrate(
            run,
            data=data,
            split=split,
            skip_bad=skip_bad,
            batch_size=batch_size,
            out=out,
            emit=screen,
        )
    print_json(result.to_json()) if json else calibration_text(result)


@command()
def report(
    run: RunOption = None,
    output: Annotated[
        Path | None, typer.Option(help="File to write. Default: report.html, in the run folder.")
    ] = None,
    card: Annotated[
        bool, typer.Option("--card", help="Write a model card for a hub instead, README.md.")
    ] = False,
    data: OtherPhotos = None,
    split: Split = None,
    skip_bad: SkipBad = None,
    mistakes: Annotated[
        int | None, typer.Option(min=0, max=24, help="Number of mistakes to show. Default: 12.")
    ] = None,
    check: Annotated[
        bool | None, typer.Option("--check/--no-check", help="Include the results of data check.")
    ] = None,
    out: Out = RUNS,
    json: Json = False,
) -> None:
    """Write a report of a run: one HTML file that needs no network, or a model card.

    A run that was not evaluated yet is evaluated first.

    Example: `kvgg report --run runs/coffee --output coffee.html`
    """
    page = {"mistakes": mistakes, "check": check}
    asked: dict[str, Any] = {name: value for name, value in page.items() if value is not None}
    if card and asked:
        raise UsageError(f"--card cannot be combined with --{next(iter(asked))}.")
    from kvgg_jax.web.card import model_card
    from kvgg_jax.web.html.report import report as page_of

    write = model_card if card else page_of
    with Screen() as screen:
        made = write(
            run,
            output=output,
            data=data,
            split=split,
            skip_bad=skip_bad,
            out=out,
            emit=screen,
            **asked,
        )
    if json:
        print_json(made.to_json())
    else:
        parts = ", ".join(made.contents)
        print_line(f"Wrote {made.path}: {parts} ({made.size / 1e3:,.0f} kB)")
