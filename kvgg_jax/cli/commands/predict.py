"""`kvgg predict` and `kvgg explain`: what a run makes of photos."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from kvgg_jax.cli import completion
from kvgg_jax.cli.app import command, end_with
from kvgg_jax.cli.console import Screen
from kvgg_jax.cli.options import (
    RUNS,
    Images,
    Json,
    Out,
    Raw,
    RunOption,
    Tta,
    UnknownBelow,
    UnsureBelow,
)
from kvgg_jax.cli.output import print_json, print_line
from kvgg_jax.core.errors import UsageError
from kvgg_jax.core.places import Place
from kvgg_jax.core.text import counted, escape_name

if TYPE_CHECKING:
    from kvgg_jax.inference.prediction import Prediction


@command()
def predict(
    images: Images,
    run: Annotated[
        str | None,
        typer.Option(
            help="Run or cross-validation (folder or name), or an ONNX file. Default: the newest "
            "finished run.",
            autocompletion=completion.folds_and_models,
        ),
    ] = None,
    top: Annotated[int, typer.Option(min=1, help="Number of classes to show per photo.")] = 1,
    unsure_below: UnsureBelow = None,
    unknown_below: UnknownBelow = None,
    raw: Raw = False,
    tta: Tta = False,
    batch_size: Annotated[
        int | None, typer.Option(min=1, help="Photos per batch. Default: at most 32.")
    ] = None,
    part: Annotated[
        str, typer.Option(help="Only a part of the photos, such as 2/5: the second of five.")
    ] = "1/1",
    rank: Annotated[
        Literal["unsure"] | None,
        typer.Option(
            help="unsure: the photos that are most worth a label come first.", show_choices=False
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(help="File (.csv, .jsonl, .parquet) that gets the rows, or is continued."),
    ] = None,
    every: Annotated[
        float, typer.Option(min=0.001, help="Seconds from one frame of a video to the next.")
    ] = 1.0,
    allow_net: Annotated[
        bool, typer.Option("--allow-net", help="Read photos at addresses, such as https://...")
    ] = False,
    out: Out = RUNS,
    csv: Annotated[bool, typer.Option("--csv", help="Print rows as CSV on stdout.")] = False,
    json: Json = False,
) -> None:
    """Predict the classes of photos with the best epoch of a run.

    With `--run` of a cross-validation, the probabilities of its folds are averaged. `--rank unsure`
    prints those photos first that are most worth a label; of photos alike only one comes early.

    Example: `kvgg predict bean.jpg --top 3`
    """
    if sum((csv, json, output is not None)) > 1:
        raise UsageError("--csv, --json and --output cannot be combined; choose one.")
    if rank and (output is not None or part != "1/1" or tta):
        raise UsageError("--rank cannot be combined with --output, --part or --tta.")
    from kvgg_jax.cli import prediction_file
    from kvgg_jax.cli.given_photos import given_places, read_place
    from kvgg_jax.cli.text import results as show
    from kvgg_jax.inference import onnx_session
    from kvgg_jax.inference.prediction import Part, find_files

    chosen = Part.parse(part)
    photos = find_files(given_places(images, allow_net=allow_net, every=every))
    is_first = chosen.number == 1  # only it has a header, so that parts can be joined
    how: Any = {"raw": raw, "unsure_below": unsure_below, "unknown_below": unknown_below}
    how |= {"batch_size": batch_size, "read": read_place}

    def predict_each(screen: Screen, after: int = 0) -> Iterator[Prediction]:
        if rank:
            from kvgg_jax.inference.ranking import rank_unsure

            return iter(rank_unsure(photos, run, **how, out=out, emit=screen))
        each: Any = {**how, "tta": tta, "part": chosen, "after": after, "emit": screen}
        if onnx_session.is_onnx(run):  # without JAX, which takes a second
            return onnx_session.predict_each(photos, run, **each)
        from kvgg_jax.inference import classifier

        return classifier.predict_each(photos, run, **each, out=out)

    if output is not None:
        _add_to(output, chosen.of(photos), predict_each, header=is_first, top=top)
        return
    with Screen() as screen:
        found = list(predict_each(screen))
    if json:
        print_json([prediction.to_json(top=top) for prediction in found])
    elif csv:
        prediction_file.print_csv(found, header=is_first, top=top)
    else:
        show.predictions_text(found, top=top)
    end_with([prediction.error for prediction in found if prediction.error])


def _add_to(
    output: Path,
    files: Sequence[Place],
    predict_each: Callable[[Screen, int], Iterator[Prediction]],
    *,
    header: bool,
    top: int,
) -> None:
    """Predict the files that `output` has not yet, and keep none of them in memory."""
    from kvgg_jax.cli import prediction_file

    with Screen() as screen, prediction_file.opened(output, files, header=header, top=top) as kept:
        errors, done = kept.errors, kept.after
        for one in predict_each(screen, kept.after):
            kept.add(one)
            done += 1
            errors += [one.error] if one.error else []
    there = f"; {kept.there:,} were there already" if kept.there else ""
    print_line(f"Added {counted(done - kept.there, 'photo')} to {escape_name(output)}{there}")
    end_with(errors)


@command()
def explain(
    images: Images,
    run: RunOption = None,
    method: Annotated[
        Literal["grad-cam", "integrated-gradients"],
        typer.Option(help="grad-cam or integrated-gradients.", show_choices=False),
    ] = "grad-cam",
    target: Annotated[
        str | None, typer.Option("--class", help="Class to explain. Default: the predicted class.")
    ] = None,
    similar: Annotated[
        int, typer.Option(min=0, help="Training photos to name per photo, the most similar ones.")
    ] = 0,
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
    from kvgg_jax.cli.given_photos import given_photos
    from kvgg_jax.cli.text.explain import explanation_json, explanation_line, save_explanations
    from kvgg_jax.inference.classifier import load_classifier
    from kvgg_jax.inference.explain import explain as attribute

    answer, lines, errors = [], [], []
    with Screen() as screen:
        classifier = load_classifier(run, out=out, emit=screen)
        photos = given_photos(images)
        how: Any = {"method": method, "target": target, "similar": similar}
        found = attribute(photos, classifier, **how, emit=screen)
        for one, file in save_explanations(found, output or classifier.run.path / "explained"):
            answer.append(explanation_json(one, file))
            if file is None:
                errors.append(str(one.prediction.error))
            else:
                lines.append(explanation_line(one, file))
    print_json(answer) if json else print_line("\n".join(lines))
    end_with(errors)
