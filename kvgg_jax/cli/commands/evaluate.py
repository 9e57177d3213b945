"""`kvgg evaluate`, `kvgg calibrate` and `kvgg predict`: use a trained run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from kvgg_jax.cli import completion
from kvgg_jax.cli.app import (
    RUNS,
    BatchSize,
    Json,
    Out,
    Raw,
    RunOption,
    SkipBad,
    UnsureBelow,
    app,
    end_with,
    handle_errors,
    print_json,
    stderr_console,
)
from kvgg_jax.cli.console import Screen, print_line
from kvgg_jax.core.errors import UsageError

Others = Annotated[Path | None, typer.Option("--data", help="Other photos of the same classes.")]


def _part(text: str) -> Any:
    return typer.Option("--split", help=text, autocompletion=completion.words("val", "all"))


Part = Annotated[str | None, _part("val or all. Default: val, or all with --data.")]


@app.command()
@handle_errors
def evaluate(
    run: RunOption = None,
    data: Others = None,
    split: Part = None,
    skip_bad: SkipBad = None,
    raw: Raw = False,
    batch_size: BatchSize = None,
    out: Out = RUNS,
    json: Json = False,
) -> None:
    """Evaluate a run: metrics with intervals, scores per class, confusion matrix, mistakes.

    Charts, and a CSV with one row per photo, are written to the run folder.

    Example: `kvgg evaluate --run runs/coffee --split val`
    """
    check_part(split)
    from kvgg_jax.cli.text import evaluation as show_evaluation
    from kvgg_jax.evaluation import evaluate as evaluation
    from kvgg_jax.evaluation import files

    with Screen(stderr_console()) as screen:
        result = evaluation.evaluate(
            run,
            data=data,
            split=split,
            skip_bad=skip_bad,
            raw=raw,
            batch_size=batch_size,
            out=out,
            emit=screen,
        )
        result = files.try_to_keep(result, screen)
    print_json(result.to_json()) if json else show_evaluation.evaluation_text(result)


def check_part(split: str | None) -> None:
    """Raises UsageError for an unknown `--split`."""
    if split not in (None, "val", "all"):
        raise UsageError(f"--split {split}: use val or all.")


@app.command()
@handle_errors
def calibrate(
    run: RunOption = None,
    data: Others = None,
    split: Annotated[
        str | None, _part("val, or with --data all. Default: val, or all with --data.")
    ] = None,
    skip_bad: SkipBad = None,
    remove: Annotated[bool, typer.Option("--remove", help="Remove the calibration.")] = False,
    batch_size: BatchSize = None,
    out: Out = RUNS,
    json: Json = False,
) -> None:
    """Calibrate the probabilities on the validation photos: 90 % is right 9 times in 10.

    Example: `kvgg calibrate --run runs/coffee`
    """
    check_part(split)
    if remove:
        given: dict[str, object] = {
            **{"--data": data, "--split": split, "--skip-bad": skip_bad},
            **{"--batch-size": batch_size, "--json": json or None},
        }
        if extra := [flag for flag, value in given.items() if value is not None]:
            raise UsageError(f"--remove cannot be combined with {extra[0]}.")
    from kvgg_jax.cli.text import calibration as show_calibration
    from kvgg_jax.evaluation import calibration

    if remove:
        print_line(stderr_console(), f"Removed {calibration.remove_calibration(run, out=out)}")
        return
    with Screen(stderr_console()) as screen:
        result = calibration.calibrate(
            run,
            data=data,
            split=split,
            skip_bad=skip_bad,
            batch_size=batch_size,
            out=out,
            emit=screen,
        )
    print_json(result.to_json()) if json else show_calibration.calibration_text(result)


@app.command()
@handle_errors
def predict(
    images: Annotated[list[Path], typer.Argument(help="Image files, or folders of them.")],
    run: Annotated[
        str | None,
        typer.Option(
            "--run",
            help="Run folder or name, or an ONNX file. Default: the newest finished run.",
            autocompletion=completion.runs_and_models,
        ),
    ] = None,
    top: Annotated[int, typer.Option(min=1, help="Number of classes to show per photo.")] = 1,
    unsure_below: UnsureBelow = None,
    raw: Raw = False,
    batch_size: Annotated[
        int | None, typer.Option(min=1, help="Photos per batch. Default: at most 32.")
    ] = None,
    out: Out = RUNS,
    csv: Annotated[bool, typer.Option("--csv", help="Print rows as CSV on stdout.")] = False,
    json: Json = False,
) -> None:
    """Predict the classes of photos with the best epoch of a run.

    Example: `kvgg predict bean.jpg --top 3`
    """
    if csv and json:
        raise UsageError("--csv and --json cannot be combined; choose one.")
    from kvgg_jax.cli.text import results as show
    from kvgg_jax.inference import onnx_session

    with Screen(stderr_console()) as screen:
        if onnx_session.is_onnx(run):  # without JAX, which takes a second
            found = onnx_session.predict(
                images,
                run,
                raw=raw,
                unsure_below=unsure_below,
                batch_size=batch_size,
                emit=screen,
            )
        else:
            from kvgg_jax.inference import classifier

            found = classifier.predict(
                images,
                run,
                raw=raw,
                unsure_below=unsure_below,
                batch_size=batch_size,
                out=out,
                emit=screen,
            )
    if json:
        print_json([prediction.to_json(top=top) for prediction in found])
    elif csv:
        show.predictions_csv(found, top=top)
    else:
        show.predictions_text(found, top=top)
    end_with([prediction.error for prediction in found if prediction.error])
