"""`kvgg summary` and `kvgg bench`: what a network costs."""

from __future__ import annotations

from typing import Annotated

import typer

from kvgg_jax.cli.app import Json, app, handle_errors, print_json, stderr_console
from kvgg_jax.cli.console import Screen
from kvgg_jax.cli.flags import Given
from kvgg_jax.cli.options import takes_settings

BENCH_BATCH = 8  # without a config: seconds a step, on a CPU


@app.command(cls=takes_settings({"network"}))
@handle_errors
def summary(
    ctx: typer.Context,
    classes: Annotated[int, typer.Option(min=2, help="Number of classes.")] = 4,
    compare: Annotated[bool, typer.Option("--compare", help="Compare the heads.")] = False,
    json: Json = False,
) -> None:
    """Show layers, parameters, FLOPs and memory of a network, without running it.

    The default image size is 224 px. All layers count as trainable, also those that a config
    would freeze.

    Example: `kvgg summary --compare`
    """
    given: Given = ctx.obj
    config = given.resolve()
    from kvgg_jax.cli.text.summary import Size, compare_text, cost_json, layers_text
    from kvgg_jax.core.config import PHOTO_SIZE

    model, side = config.model, config.data.image_size or PHOTO_SIZE
    size = Size(classes=classes, image_size=side, batch_size=config.train.batch_size)
    if json:
        print_json(cost_json(model, size, compare=compare))
    elif compare:
        compare_text(model, size)
    else:
        layers_text(model, size)


@app.command(
    cls=takes_settings({"network", "step"}, defaults={"train.batch_size": BENCH_BATCH}),
)
@handle_errors
def bench(
    ctx: typer.Context,
    repeats: Annotated[int, typer.Option(min=1, help="Timed repetitions.")] = 5,
    json: Json = False,
) -> None:
    """Time a training step, a forward pass and the pipeline on this machine.

    The steps are those of training with these settings, including augmentation, but with no block
    frozen. Without --config: VGG16, slim head, 224 px, batch size 8.

    Example: `kvgg bench --config configs/fast.toml`
    """
    given: Given = ctx.obj
    settings = given.resolve()
    from kvgg_jax.cli.text import results as show
    from kvgg_jax.training.benchmark import bench as measure

    with Screen(stderr_console()) as screen:
        result = measure(settings, repeats=repeats, emit=screen)
    print_json(show.bench_json(result)) if json else show.bench_text(result)
