"""The commands. They translate: arguments -> configuration -> the API -> text, JSON, exit code.

Nothing heavy is imported before a command needs it, so that `--help` answers at once.
"""

from __future__ import annotations

import functools
import os
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from shlex import quote
from typing import Annotated, Any, ParamSpec

import typer
from rich.console import Console

from kvgg_jax.console import Screen, program, say
from kvgg_jax.errors import KvggError, Stopped, UsageError
from kvgg_jax.huge_pages import restart_with_huge_pages
from kvgg_jax.signals import Stop

app = typer.Typer(
    name="kvgg",
    no_args_is_help=True,
    add_completion=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    help="Train, judge and use VGG image classifiers from a folder of photos.",
)
data_app = typer.Typer(no_args_is_help=True, help="Folders of photos.")
app.add_typer(data_app, name="data")

P = ParamSpec("P")
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON on stdout.")]
Out = Annotated[Path, typer.Option("--out", help="Folder that holds the runs.")]
RunOption = Annotated[
    str | None,
    typer.Option("--run", help="Run folder or name. Default: the newest finished run."),
]
SkipBad = Annotated[
    bool | None, typer.Option("--skip-bad/--no-skip-bad", help="Go on without unreadable images.")
]
RUNS = Path("runs")


def answers(command: Callable[P, None]) -> Callable[P, None]:
    """Turn the errors made for the user into one message on stderr and an exit code."""

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except KvggError as error:
            say(_talk(), f"Error: {error}", "red")
            raise typer.Exit(error.exit_code) from None
        except KeyboardInterrupt:
            say(_talk(), "Stopped.")
            raise typer.Exit(130) from None

    return run


def _talk() -> Console:
    return Console(stderr=True)


def _print_json(value: Any) -> None:
    import json

    print(json.dumps(value, indent=2))


@app.command()
@answers
def train(
    data: Annotated[
        Path | None,
        typer.Option(help="Folder with one sub-folder a class. Default: ./data, else a demo set."),
    ] = None,
    head: Annotated[
        str | None, typer.Option(help="full (4096-4096), slim (1024-512), gap, or 256,128.")
    ] = None,
    arch: Annotated[str | None, typer.Option(help="vgg11, vgg13, vgg16 or vgg19.")] = None,
    dropout: Annotated[float | None, typer.Option(help="Share dropped in the head.")] = None,
    batch_norm: Annotated[
        bool | None, typer.Option("--batch-norm/--no-batch-norm", help="After each convolution.")
    ] = None,
    init: Annotated[str | None, typer.Option(help="he_uniform or glorot_uniform.")] = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the training photos.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Photos a step.")] = None,
    accumulate: Annotated[
        int | None, typer.Option(help="Compute a batch in so many parts, to save memory.")
    ] = None,
    image_size: Annotated[int | None, typer.Option(help="Pixels a side, 32 or more.")] = None,
    lr: Annotated[float | None, typer.Option(help="First learning rate of Adam.")] = None,
    patience: Annotated[
        int | None, typer.Option(help="Stop after so many epochs without a better accuracy.")
    ] = None,
    min_delta: Annotated[float | None, typer.Option(help="What counts as better.")] = None,
    precision: Annotated[str | None, typer.Option(help="float32 or bfloat16.")] = None,
    save_every_steps: Annotated[
        int | None, typer.Option(help="Save amid an epoch too, every so many steps.")
    ] = None,
    augment: Annotated[str | None, typer.Option(help="none, light or strong.")] = None,
    val_split: Annotated[float | None, typer.Option(help="Share kept for validation.")] = None,
    split: Annotated[str | None, typer.Option(help="keras or stratified.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of split, weights, order, dropout.")] = None,
    skip_bad: SkipBad = None,
    cache: Annotated[
        str | None, typer.Option(help="Decoded photos: auto, memory, disk or none.")
    ] = None,
    config: Annotated[Path | None, typer.Option(help="TOML file; flags win over it.")] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="Any key: --set optim.decay_steps=50.")
    ] = None,
    out: Out = RUNS,
    name: Annotated[str | None, typer.Option(help="Of the run. Default: date, arch, head.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace that run.")] = False,
    resume: Annotated[
        str | None, typer.Option(help="Go on with this run; only --epochs may change.")
    ] = None,
    json: Json = False,
) -> None:
    """Train a classifier and keep the best state.

    Example: `kvgg train --data photos --head slim --image-size 96 --epochs 20`
    """
    given = dict(locals())
    from kvgg_jax.config import resolve
    from kvgg_jax.flags import all_typed, check_resume

    flags = all_typed(given)
    if resume is not None:
        check_resume(flags, config=config, name=name, overwrite=overwrite)
    settings = resolve(config, flags)
    with Screen(_talk()) as screen, Stop(screen.interject) as stop:
        try:
            from kvgg_jax import training

            if resume is None:
                result = training.train(
                    settings, out=out, name=name, overwrite=overwrite, stop=stop, emit=screen
                )
            else:
                asked = settings.train.epochs if "train.epochs" in flags else None
                result = training.resume(resume, epochs=asked, out=out, stop=stop, emit=screen)
        except Stopped as stopped:
            say(screen.console, f"{stopped} All of it is saved. To go on:")
            _say_resume(screen)
            raise typer.Exit(stop.exit_code) from None
        except KeyboardInterrupt:
            _say_interrupted(screen)
            raise typer.Exit(stop.exit_code) from None
    from kvgg_jax import show

    _print_json(show.train_json(result)) if json else show.train_text(result)


def _say_interrupted(screen: Screen) -> None:
    """Before the first step of this start."""
    if screen.run is None:
        say(screen.console, "Stopped before the run began; nothing was written.")
        return
    say(screen.console, "Stopped before the first step. To go on:")
    _say_resume(screen)


def _say_resume(screen: Screen) -> None:
    say(screen.console, f"  {program()} train --resume {quote(str(screen.run))}")


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

    with Screen(_talk()) as screen:
        result = inference.evaluate(
            run, data=data, split=split, skip_bad=skip_bad, out=out, emit=screen
        )
    picture = show.save_confusion(result)
    _print_json(show.evaluation_json(result)) if json else show.evaluation_text(result, picture)


@app.command()
@answers
def predict(
    images: Annotated[list[Path], typer.Argument(help="Image files, or folders of them.")],
    run: RunOption = None,
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
    from kvgg_jax import inference, show

    with Screen(_talk()) as screen:
        found = inference.predict(images, run, out=out, emit=screen)
    if json:
        _print_json(show.predictions_json(found, top=top))
    elif csv:
        show.predictions_csv(found, top=top)
    else:
        show.predictions_text(found, top=top)
    bad = [prediction for prediction in found if prediction.error]
    for prediction in bad:
        say(_talk(), f"Error: {prediction.error}", "red")
    if bad:
        raise typer.Exit(1)


@app.command()
@answers
def summary(
    head: Annotated[str, typer.Option(help="full, slim, gap, or sizes such as 256,128.")] = "slim",
    arch: Annotated[str, typer.Option(help="vgg11, vgg13, vgg16 or vgg19.")] = "vgg16",
    batch_norm: Annotated[
        bool, typer.Option("--batch-norm", help="After each convolution.")
    ] = False,
    classes: Annotated[int, typer.Option(min=2, help="Number of classes.")] = 4,
    image_size: Annotated[int, typer.Option(min=32, help="Pixels a side.")] = 224,
    batch_size: Annotated[int, typer.Option(min=1, help="Photos a step.")] = 32,
    compare: Annotated[bool, typer.Option("--compare", help="Set the heads side by side.")] = False,
    json: Json = False,
) -> None:
    """Show layers, parameters, FLOPs and memory of a network, without running it.

    Example: `kvgg summary --compare`
    """
    from kvgg_jax.config import resolve
    from kvgg_jax.flags import typed
    from kvgg_jax.summary import Size, compare_text, cost_json, layers_text

    keys = {"head": head, "arch": arch, "batch_norm": batch_norm}
    model = resolve(None, typed(keys)).model
    size = Size(classes=classes, image_size=image_size, batch_size=batch_size)
    if json:
        _print_json(cost_json(model, size, compare=compare))
    elif compare:
        compare_text(model, size)
    else:
        layers_text(model, size)


@app.command()
@answers
def bench(
    head: Annotated[str, typer.Option(help="full, slim, gap, or sizes such as 256,128.")] = "slim",
    arch: Annotated[str, typer.Option(help="vgg11, vgg13, vgg16 or vgg19.")] = "vgg16",
    image_size: Annotated[int, typer.Option(help="Pixels a side.")] = 224,
    batch_size: Annotated[int, typer.Option(help="Photos a step.")] = 8,
    accumulate: Annotated[int, typer.Option(help="Parts in which a batch is computed.")] = 1,
    precision: Annotated[str, typer.Option(help="float32 or bfloat16.")] = "float32",
    repeats: Annotated[int, typer.Option(min=1, help="Timed repetitions.")] = 5,
    json: Json = False,
) -> None:
    """Time a training step, a forward pass and the pipeline on this machine.

    Example: `kvgg bench --image-size 96 --batch-size 32`
    """
    given = dict(locals())
    from kvgg_jax.config import resolve
    from kvgg_jax.flags import typed

    settings = resolve(None, typed(given))
    from kvgg_jax import show
    from kvgg_jax.bench import bench as measure

    with Screen(_talk()) as screen:
        result = measure(settings, repeats=repeats, emit=screen)
    _print_json(show.bench_json(result)) if json else show.bench_text(result)


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

    with Screen(_talk()) as screen:
        write_demo(
            folder,
            per_class=per_class,
            on_progress=lambda done, total: screen(Progress("drawing", done, total)),
        )
    say(_talk(), f"Wrote the demo set to {folder}. Train on it:")
    say(_talk(), f"  {program()} train --data {quote(str(folder))} --image-size 48")


def main() -> None:
    """Entry point of `kvgg` and of `cli.py`."""
    if sys.argv[1:2] in (["train"], ["bench"]):
        restart_with_huge_pages()
    # Pillow remarks on odd files; whether a file can be used is said by its ImageError alone.
    warnings.filterwarnings("ignore", module=r"PIL\.")
    try:
        app()
    except BrokenPipeError:  # the reader of our stdout went away, as `| head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
