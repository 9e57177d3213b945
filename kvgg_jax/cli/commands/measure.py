"""`kvgg summary` and `kvgg bench`: what a network costs."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from kvgg_jax.cli.app import command
from kvgg_jax.cli.console import Screen
from kvgg_jax.cli.flags import Given
from kvgg_jax.cli.options import Json, takes_settings
from kvgg_jax.cli.output import print_json

LAYER = ("name", "output", "params", "statistics", "flops", "kept")  # in JSON
BENCH_BATCH = 8  # a step takes seconds on a CPU


@command(cls=takes_settings({"network"}))
def summary(
    ctx: typer.Context,
    classes: Annotated[int, typer.Option(min=2, help="Number of classes.")] = 4,
    compare: Annotated[bool, typer.Option("--compare", help="Compare the heads.")] = False,
    json: Json = False,
) -> None:
    """Show layers, parameters, FLOPs and memory of a network, without running it.

    The default image size is 224 px. All layers count as trainable, even if a config freezes them.

    Example: `kvgg summary --compare`
    """
    given: Given = ctx.obj
    config = given.resolve()
    from kvgg_jax.cli.text import summary as show
    from kvgg_jax.core.tables.model import HEADS
    from kvgg_jax.models.cost import describe, total
    from kvgg_jax.models.registry import choose_size

    model, batch = config.model, config.train.batch_size
    side = choose_size(config)
    heads = HEADS if compare else (model.head,)
    layers = {
        head: describe(model.model_copy(update={"head": head}), classes=classes, image_size=side)
        for head in heads
    }
    costs = {
        head: total(found, image_size=side, batch_size=batch) for head, found in layers.items()
    }
    if compare and json:
        print_json({head: asdict(cost) for head, cost in costs.items()})
    elif compare:
        show.compare_text(f"{model.arch}, {side} px, batch {batch}", costs)
    elif json:
        rows = [{key: getattr(one, key) for key in LAYER} for one in layers[model.head]]
        print_json({**asdict(costs[model.head]), "layers": rows})
    else:
        title = f"{model.title}, {classes} classes, {side} x {side} pixels"
        show.layers_text(title, layers[model.head], costs[model.head], batch_size=batch)


@command(cls=takes_settings({"network", "step"}, defaults={"train.batch_size": BENCH_BATCH}))
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

    with Screen() as screen:
        result = measure(settings, repeats=repeats, emit=screen)
    print_json(show.bench_json(result)) if json else show.bench_text(result)
