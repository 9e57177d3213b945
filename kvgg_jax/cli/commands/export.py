"""`kvgg export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from kvgg_jax.cli.app import command
from kvgg_jax.cli.console import Screen
from kvgg_jax.cli.options import RUNS, Json, Out, Raw, RunOption
from kvgg_jax.cli.output import print_json


@command()
def export(
    format: Annotated[
        Literal["keras", "saved-model", "onnx", "litert", "stablehlo", "safetensors"],
        typer.Option(
            help="keras, saved-model, onnx, litert, stablehlo or safetensors.", show_choices=False
        ),
    ],
    run: RunOption = None,
    output: Annotated[
        Path | None, typer.Option(help="File to write. Default: in exported, in the run folder.")
    ] = None,
    quantize: Annotated[
        Literal["int8"] | None,
        typer.Option(
            help="int8, for keras and onnx; prints the cost in accuracy.", show_choices=False
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

    with Screen() as screen:
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
