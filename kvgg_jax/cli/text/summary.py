"""The cost of a network in tables: layer by layer, or its heads side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from kvgg_jax.cli.output import print_line, print_table
from kvgg_jax.models.cost import Cost, Layer

ROWS = {
    "parameters": "params",
    "in the head": "head_params",
    "weights": "weight_bytes",
    "forward FLOPs": "forward_flops",
    "training FLOPs": "training_flops",
    "activations kept": "activation_bytes",
    "training memory": "training_bytes",
}


def layers_text(title: str, layers: Sequence[Layer], cost: Cost, *, batch_size: int) -> None:
    """A row per layer for one image, then the totals for a batch."""
    print_line(title, "bold")
    rows = [
        (
            *(layer.name, " x ".join(map(str, layer.output)), f"{layer.params:,}"),
            *(f"{layer.flops / 1e6:,.1f}", f"{layer.kept / 256:,.0f}"),
        )
        for layer in layers
    ]
    headers = ("layer", "output", "parameters", "MFLOPs", "kept KiB")
    print_table(headers, rows, right=slice(2, None))
    forward, training = (
        f"{flops / batch_size / 1e9:.2f} G" for flops in (cost.forward_flops, cost.training_flops)
    )
    print_line(
        f"Parameters: {cost.params:,}, of which {cost.head_params:,} in the head "
        f"({cost.head_params / cost.params:.2%})"
    )
    print_line(
        f"FLOPs for one image: {forward} forward, {training} training (a multiply-add is two)"
    )
    print_line(
        f"Memory at batch {batch_size}, float32: {_mib(cost.activation_bytes)} of activations kept "
        f"for the backward pass; {_mib(cost.training_bytes)} with weights, gradients and the "
        "moments of Adam"
    )
    print_line(f"Weights: {_mib(cost.weight_bytes)}")


def compare_text(title: str, heads: Mapping[str, Cost]) -> None:
    """The heads side by side, and what the slim head saves."""
    rows = [
        (name, *(_format(field, getattr(cost, field)) for cost in heads.values()))
        for name, field in ROWS.items()
    ]
    print_table(("", *heads), rows, right=slice(1, None), title=title)
    print_line(_savings(heads["full"], heads["slim"]))


def _format(field: str, value: int) -> str:
    if field.endswith("bytes"):
        return _mib(value)
    return f"{value / 1e9:,.2f} G" if field.endswith("flops") else f"{value:,}"


def _mib(count: int) -> str:
    return f"{count / 2**20:,.1f} MiB"


def _savings(full: Cost, slim: Cost) -> str:
    """The slim head's savings as shares of the head, and of the whole network."""

    def share(field: str) -> str:
        return f"{1 - getattr(slim, field) / getattr(full, field):.2%}"

    return (
        f"The slim head saves {share('head_params')} of the head's parameters. Of the whole "
        f"network that is {share('params')} of parameters and weight bytes, "
        f"{share('training_bytes')} of training memory, but only {share('forward_flops')} of the "
        f"forward and {share('training_flops')} of the training FLOPs: the convolutions do the "
        "work."
    )
