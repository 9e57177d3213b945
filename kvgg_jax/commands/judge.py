"""`kvgg evaluate` and `kvgg predict`: a trained run put to use."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from kvgg_jax.commands.app import (
    RUNS,
    Json,
    Out,
    RunOption,
    SkipBad,
    answers,
    app,
    print_json,
    talk,
)
from kvgg_jax.console import Screen, say
from kvgg_jax.errors import UsageError


@app.command()
@answers
def evaluate(
    run: RunOption = None,
    data: Annotated[Path | None, typer.Option(help="Other photos of the same classes.")] = None,
    split: Annotated[
        str | None, typer.Option(help="val or all. Default: val, or all with --data.")
    ] = None,
    skip_bad: SkipBad = None,
    out: Out = RUNS,
    json: Json = False,
) -> None:
    """Judge a run: loss, accuracy, scores a class, confusion matrix (table and PNG).

    Example: `kvgg evaluate --run runs/coffee --split val`
    """
    if split not in (None, "val", "all"):
        raise UsageError(f"--split {split}: use val or all.")
    from kvgg_jax import inference, show

    with Screen(talk()) as screen:
        result = inference.evaluate(
            run, data=data, split=split, skip_bad=skip_bad, out=out, emit=screen
        )
    picture = show.save_confusion(result)
    print_json(show.evaluation_json(result)) if json else show.evaluation_text(result, picture)


@app.command()
@answers
def predict(
    images: Annotated[list[Path], typer.Argument(help="Image files, or folders of them.")],
    run: Annotated[
        str | None,
        typer.Option(
            "--run", help="Run folder or name, or an ONNX file. Default: the newest finished run."
        ),
    ] = None,
    top: Annotated[int, typer.Option(min=1, help="Classes shown a picture.")] = 1,
    out: Out = RUNS,
    csv: Annotated[bool, typer.Option("--csv", help="Print rows as CSV on stdout.")] = False,
    json: Json = False,
) -> None:
    """Say what is on pictures, with the best state of a run.

    Example: `kvgg predict bean.jpg --top 3`
    """
    if csv and json:
        raise UsageError("--csv and --json exclude each other; choose one.")
    from kvgg_jax import onnx_session, show

    with Screen(talk()) as screen:
        if onnx_session.is_onnx(run):  # without JAX, which takes a second
            found = onnx_session.predict(images, run, emit=screen)
        else:
            from kvgg_jax import inference

            found = inference.predict(images, run, out=out, emit=screen)
    if json:
        print_json(show.predictions_json(found, top=top))
    elif csv:
        show.predictions_csv(found, top=top)
    else:
        show.predictions_text(found, top=top)
    bad = [prediction for prediction in found if prediction.error]
    for prediction in bad:
        say(talk(), f"Error: {prediction.error}", "red")
    if bad:
        raise typer.Exit(1)
