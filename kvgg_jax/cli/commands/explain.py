"""`kvgg explain`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from kvgg_jax.cli import completion
from kvgg_jax.cli.app import (
    RUNS,
    Json,
    Out,
    RunOption,
    app,
    end_with,
    handle_errors,
    print_json,
    stderr_console,
)
from kvgg_jax.cli.console import Screen, print_line
from kvgg_jax.core.errors import UsageError

GRAD_CAM, GRADIENTS = METHODS = ("grad-cam", "integrated-gradients")


@app.command()
@handle_errors
def explain(
    images: Annotated[list[Path], typer.Argument(help="Image files, or folders of them.")],
    run: RunOption = None,
    method: Annotated[
        str,
        typer.Option(help=f"{GRAD_CAM} or {GRADIENTS}.", autocompletion=completion.words(*METHODS)),
    ] = GRAD_CAM,
    target: Annotated[
        str | None, typer.Option("--class", help="Class to explain. Default: the predicted class.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(help="Folder for the PNG files. Default: explained, in the run."),
    ] = None,
    out: Out = RUNS,
    json: Json = False,
) -> None:
    """Show which parts of photos count for a class: one PNG per photo, with a heatmap.

    Example: `kvgg explain bean.jpg --class Dark`
    """
    if method not in METHODS:
        raise UsageError(f"--method {method}: use {GRAD_CAM} or {GRADIENTS}.")
    from kvgg_jax.cli.text import explain as show_explain
    from kvgg_jax.inference.classifier import load_classifier
    from kvgg_jax.inference.explain import explain as attribute

    answer, lines, errors = [], [], []
    with Screen(stderr_console()) as screen:
        classifier = load_classifier(run, out=out, emit=screen)
        found = attribute(images, classifier, method=method, target=target, emit=screen)
        folder = output or classifier.run.path / "explained"
        for one, file in show_explain.save_explanations(found, folder):
            answer.append(show_explain.explanation_json(one, file))
            if file is None:
                errors.append(str(one.prediction.error))
            else:
                lines.append(show_explain.explanation_line(one, file))
    if json:
        print_json(answer)
    else:
        for line in lines:
            print_line(Console(), line)
    end_with(errors)
