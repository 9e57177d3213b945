"""`kvgg train`."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from shlex import quote
from typing import Annotated

import typer

from kvgg_jax.cli import completion
from kvgg_jax.cli.app import (
    RUNS,
    Json,
    Out,
    SkipBad,
    app,
    handle_errors,
    print_json,
    stderr_console,
    stoppable,
)
from kvgg_jax.cli.console import Screen, print_line
from kvgg_jax.cli.defaults import ShowsDefaults
from kvgg_jax.core.text import program


@app.command(cls=ShowsDefaults)
@handle_errors
def train(
    data: Annotated[
        Path | None,
        typer.Option(help="Folder with one sub-folder a class. Default: ./data, else a demo set."),
    ] = None,
    head: Annotated[
        str | None,
        completion.choice("model.head", "full (4096-4096), slim (1024-512), gap, or 256,128."),
    ] = None,
    arch: Annotated[
        str | None, completion.choice("model.arch", "vgg11, vgg13, vgg16 or vgg19.")
    ] = None,
    dropout: Annotated[float | None, typer.Option(help="Share dropped in the head.")] = None,
    batch_norm: Annotated[
        bool | None, typer.Option("--batch-norm/--no-batch-norm", help="After each convolution.")
    ] = None,
    init: Annotated[
        str | None, completion.choice("model.init", "he_uniform or glorot_uniform.")
    ] = None,
    weights: Annotated[
        str | None,
        typer.Option(
            help="Begin with: imagenet, a weight file, or another run.",
            autocompletion=completion.weights,
        ),
    ] = None,
    freeze: Annotated[
        str | None,
        completion.choice(
            "model.freeze", "Keep the weights of blocks: none, 1 to 4, or blocks (all)."
        ),
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the training photos.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Photos a step.")] = None,
    accumulate: Annotated[
        int | None, typer.Option(help="Compute a batch in so many parts, to save memory.")
    ] = None,
    image_size: Annotated[
        int | None,
        typer.Option(help="Pixels a side, 32 to 4096. Default: 224, 48 for the demo set."),
    ] = None,
    lr: Annotated[float | None, typer.Option(help="Highest learning rate of Adam.")] = None,
    schedule: Annotated[
        str | None,
        completion.choice("optim.schedule", "Of the rate: exponential, cosine or constant."),
    ] = None,
    warmup_steps: Annotated[
        int | None, typer.Option(help="Steps in which the rate rises to --lr.")
    ] = None,
    label_smoothing: Annotated[
        float | None, typer.Option(help="Share of a label given to all classes alike: 0.1.")
    ] = None,
    weight_decay: Annotated[
        float | None, typer.Option(help="Of the kernels, by AdamW: 0.0005.")
    ] = None,
    patience: Annotated[
        int | None, typer.Option(help="Stop after so many epochs without a better accuracy.")
    ] = None,
    min_delta: Annotated[float | None, typer.Option(help="What counts as better.")] = None,
    precision: Annotated[
        str | None, completion.choice("train.precision", "float32 or bfloat16.")
    ] = None,
    ema: Annotated[
        float | None, typer.Option(help="Judge and keep a moving average of the weights: 0.999.")
    ] = None,
    class_weight: Annotated[
        str | None,
        completion.choice(
            "train.class_weight", "none, or balanced: classes of few photos count for more."
        ),
    ] = None,
    balance: Annotated[
        bool | None, typer.Option("--balance/--no-balance", help="Draw each class equally often.")
    ] = None,
    save_every_steps: Annotated[
        int | None, typer.Option(help="Save amid an epoch too, every so many steps.")
    ] = None,
    track: Annotated[
        str | None,
        typer.Option(
            help="Show epochs in tensorboard, mlflow, wandb (commas); none.",
            autocompletion=completion.trackers,
        ),
    ] = None,
    augment: Annotated[
        str | None, completion.choice("data.augment", "none, light, strong or randaugment.")
    ] = None,
    augment_color: Annotated[
        bool | None,
        typer.Option(
            "--augment-color/--no-augment-color",
            help="Change hue and saturation too; not where classes differ by color.",
        ),
    ] = None,
    mix: Annotated[
        str | None,
        completion.choice("data.mix", "Pictures and labels in pairs: none, mixup or cutmix."),
    ] = None,
    mix_alpha: Annotated[
        float | None, typer.Option(help="How evenly: 0.2 for mixup, 1 for cutmix.")
    ] = None,
    val_split: Annotated[float | None, typer.Option(help="Share kept for validation.")] = None,
    split: Annotated[
        str | None, completion.choice("data.split", "keras, stratified or grouped.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Of split, weights, order, dropout.")] = None,
    skip_bad: SkipBad = None,
    cache: Annotated[
        str | None, completion.choice("data.cache", "Decoded photos: auto, memory, disk or none.")
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(help="TOML file; flags win over it.", autocompletion=completion.configs),
    ] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="Any key: --set optim.decay_steps=50.")
    ] = None,
    out: Out = RUNS,
    name: Annotated[str | None, typer.Option(help="Run name. Default: date, arch, head.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace that run.")] = False,
    resume: Annotated[
        str | None,
        typer.Option(
            help="Resume this run; --epochs and --track may change.",
            autocompletion=completion.runs,
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Train a classifier on a folder of photos and keep the best epoch.

    Example: `kvgg train --data photos --head slim --image-size 96 --epochs 20`
    """
    given = dict(locals())
    from kvgg_jax.cli.flags import all_typed, check_resume
    from kvgg_jax.core.config_file import resolve

    flags = all_typed(given)
    if resume is not None:
        check_resume(flags, config=config, name=name, overwrite=overwrite)
    settings = resolve(config, flags)
    known = resume if resume is None or os.path.exists(resume) else str(out / resume)
    go_on = partial(_how_to_go_on, resume=known)
    with Screen(stderr_console()) as screen, stoppable(screen, go_on) as stop:
        from kvgg_jax.training import trainer

        if resume is None:
            result = trainer.train(
                settings, out=out, name=name, overwrite=overwrite, stop=stop, emit=screen
            )
        else:
            asked = {
                key: getattr(settings.train, key)
                for key in ("epochs", "track")
                if f"train.{key}" in flags
            }
            result = trainer.resume(resume, **asked, out=out, stop=stop, emit=screen)
    from kvgg_jax.cli.text import results as show

    print_json(show.train_json(result)) if json else show.train_text(result)


def _how_to_go_on(screen: Screen, saved: str | None, *, resume: str | None) -> None:
    run = screen.run or resume
    if run is None:
        print_line(screen.console, "Stopped before the run started; nothing was written.")
        return
    print_line(screen.console, f"{saved or 'Stopped before the first step.'} To resume:")
    print_line(screen.console, f"  {program()} train --resume {quote(str(run))}")
