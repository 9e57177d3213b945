"""`kvgg export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from kvgg_jax.cli import completion
from kvgg_jax.cli.app import (
    RUNS,
    Json,
    Out,
    Raw,
    RunOption,
    app,
    handle_errors,
    print_json,
    stderr_console,
)
from kvgg_jax.cli.console import Screen


@app.command()
@handle_errors
def export(
    format: Annotated[
        str,
        typer.Option(
            help="keras, saved-model, onnx, stablehlo or safetensors.",
            autocompletion=completion.words(
                "keras", "saved-model", "onnx", "stablehlo", "safetensors"
            ),
        ),
    ],
    run: RunOption = None,
    output: Annotated[
        Path | None, typer.Option(help="File to write. Default: in exported, in the run folder.")
    ] = None,
    quantize: Annotated[
        str | None,
        typer.Option(
            help="int8, for keras and onnx; prints the cost in accuracy.",
            autocompletion=completion.words("int8"),
        ),
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="For int8: where the run's photos are now.")
    ] = None,
    raw: Raw = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an export.")] = False,
    out: Out = RUNS,
    json: Json = False,
) -> None:
    """Export the best epoch of a run to a file, and check it against predict.

    Example: `kvgg export --format onnx --run runs/coffee`
    """
    from kvgg_jax.cli.text import results as show
    from kvgg_jax.export.exporter import export as write

    with Screen(stderr_console()) as screen:
        result = write(
            format,
            run,
            output=output,
            quantize=quantize,
            data=data,
            raw=raw,
            overwrite=overwrite,
            out=out,
            emit=screen,
        )
    print_json(show.export_json(result)) if json else show.export_text(result)
