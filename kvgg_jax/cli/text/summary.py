"""What a network costs, in tables: layers one by one, or the heads side by side."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from rich.console import Console
from rich.table import Table

from kvgg_jax.cli.console import print_line
from kvgg_jax.core.config import HEADS, ModelConfig
from kvgg_jax.models.cost import Cost, Layer, describe, total

LAYER = ("name", "output", "params", "statistics", "flops", "kept")  # in JSON


@dataclass(frozen=True, slots=True)
class Size:
    """What the costs depend on besides the network."""

    classes: int
    image_size: int
    batch_size: int


def _layers(model: ModelConfig, size: Size) -> tuple[Layer, ...]:
    return describe(model, classes=size.classes, image_size=size.image_size)


def _cost(model: ModelConfig, size: Size) -> Cost:
    layers = _layers(model, size)
    return total(layers, image_size=size.image_size, batch_size=size.batch_size)


def _heads(model: ModelConfig, size: Size) -> dict[str, Cost]:
    return {head: _cost(model.model_copy(update={"head": head}), size) for head in HEADS}


def cost_json(model: ModelConfig, size: Size, *, compare: bool) -> dict[str, Any]:
    """The same figures as the tables: FLOPs and bytes for one batch."""
    if compare:
        return {head: asdict(cost) for head, cost in _heads(model, size).items()}
    layers = [{key: getattr(layer, key) for key in LAYER} for layer in _layers(model, size)]
    return {**asdict(_cost(model, size)), "layers": layers}


def layers_text(model: ModelConfig, size: Size) -> None:
    """A row a layer for one picture, then the totals for a batch."""
    side = size.image_size
    table = Table("layer", "output", "parameters", "MFLOPs", "kept KiB")
    for column in table.columns[2:]:
        column.justify = "right"
    for layer in _layers(model, size):
        output = " x ".join(map(str, layer.output))
        flops, kept = f"{layer.flops / 1e6:,.1f}", f"{layer.kept / 256:,.0f}"
        table.add_row(layer.name, output, f"{layer.params:,}", flops, kept)
    console, cost = Console(), _cost(model, size)
    title = f"{model.arch}, head {model.head}, {size.classes} classes, {side} x {side} pixels"
    print_line(console, title, "bold")
    console.print(table)
    for line in _totals(cost, size):
        print_line(console, line)


def _totals(cost: Cost, size: Size) -> list[str]:
    one = size.batch_size
    return [
        f"Parameters: {cost.params:,}, of which {cost.head_params:,} in the head "
        f"({cost.head_params / cost.params:.2%})",
        f"FLOPs for one picture: {cost.forward_flops / one / 1e9:.2f} G forward, "
        f"{cost.training_flops / one / 1e9:.2f} G training (a multiply-add is two)",
        f"Memory at batch {one}, float32: {_mib(cost.activation_bytes)} of activations kept for "
        f"the backward pass; {_mib(cost.training_bytes)} with weights, gradients and moments",
        f"Weights: {_mib(cost.weight_bytes)}",
    ]


def _mib(count: int) -> str:
    return f"{count / 2**20:,.1f} MiB"


def compare_text(model: ModelConfig, size: Size) -> None:
    """The heads side by side, and what the slim head really saves."""
    heads = _heads(model, size)
    table = Table("", *heads, title=f"{model.arch}, {size.image_size} px, batch {size.batch_size}")
    for column in table.columns[1:]:
        column.justify = "right"
    for name, field in ROWS.items():
        table.add_row(name, *(_format(field, getattr(cost, field)) for cost in heads.values()))
    console = Console()
    console.print(table)
    print_line(console, savings(heads["full"], heads["slim"]))


ROWS = {
    "parameters": "params",
    "in the head": "head_params",
    "weights": "weight_bytes",
    "forward FLOPs": "forward_flops",
    "training FLOPs": "training_flops",
    "activations kept": "activation_bytes",
    "training memory": "training_bytes",
}


def _format(field: str, value: int) -> str:
    if field.endswith("bytes"):
        return _mib(value)
    return f"{value / 1e9:,.2f} G" if field.endswith("flops") else f"{value:,}"


def savings(full: Cost, slim: Cost) -> str:
    """One sentence: the slim head's savings as shares of the head, and of the whole."""

    def share(field: str) -> str:
        before, after = getattr(full, field), getattr(slim, field)
        return f"{(before - after) / before:.2%}"

    return (
        f"The slim head saves {share('head_params')} of the head's parameters. Of the whole "
        f"network that is {share('params')} of parameters and weight bytes, "
        f"{share('training_bytes')} of training memory, but only {share('forward_flops')} of the "
        f"forward and {share('training_flops')} of the training FLOPs: the convolutions do the "
        "work."
    )
