"""`kvgg summary` and `kvgg bench`: what a network costs."""

from __future__ import annotations

from typing import Annotated

import typer

from kvgg_jax.commands import complete
from kvgg_jax.commands.app import Json, answers, app, print_json, talk
from kvgg_jax.console import Screen

Head = Annotated[str, complete.choice("model.head", "full, slim, gap, or sizes such as 256,128.")]
Arch = Annotated[str, complete.choice("model.arch", "vgg11, vgg13, vgg16 or vgg19.")]


@app.command()
@answers
def summary(
    head: Head = "slim",
    arch: Arch = "vgg16",
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
    from kvgg_jax.flags import typed
    from kvgg_jax.resolve import resolve
    from kvgg_jax.summary import Size, compare_text, cost_json, layers_text

    keys = {"head": head, "arch": arch, "batch_norm": batch_norm}
    model = resolve(None, typed(keys)).model
    size = Size(classes=classes, image_size=image_size, batch_size=batch_size)
    if json:
        print_json(cost_json(model, size, compare=compare))
    elif compare:
        compare_text(model, size)
    else:
        layers_text(model, size)


@app.command()
@answers
def bench(
    head: Head = "slim",
    arch: Arch = "vgg16",
    image_size: Annotated[int, typer.Option(help="Pixels a side.")] = 224,
    batch_size: Annotated[int, typer.Option(help="Photos a step.")] = 8,
    accumulate: Annotated[int, typer.Option(help="Parts in which a batch is computed.")] = 1,
    precision: Annotated[
        str, complete.choice("train.precision", "float32 or bfloat16.")
    ] = "float32",
    repeats: Annotated[int, typer.Option(min=1, help="Timed repetitions.")] = 5,
    json: Json = False,
) -> None:
    """Time a training step, a forward pass and the pipeline on this machine.

    Example: `kvgg bench --image-size 96 --batch-size 32`
    """
    given = dict(locals())
    from kvgg_jax.flags import typed
    from kvgg_jax.resolve import resolve

    settings = resolve(None, typed(given))
    from kvgg_jax.bench import bench as measure
    from kvgg_jax.show import results as show

    with Screen(talk()) as screen:
        result = measure(settings, repeats=repeats, emit=screen)
    print_json(show.bench_json(result)) if json else show.bench_text(result)
