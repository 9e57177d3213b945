"""Layers of a file under the names of a network that has the same ones in the same order.

Keras numbers the layers that it names itself through a whole process (`conv2d_94`), and older
versions named some otherwise (`expanded_conv/depthwise`). Its own loader goes by order alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

T = TypeVar("T")
Shapes = Sequence[Sequence[int]]
HEAD = 9  # layers at the end of a network that a file may have otherwise: the largest head


def renamed(
    layers: Mapping[str, T], shapes: Mapping[str, Shapes], wanted: Mapping[str, Shapes]
) -> dict[str, T]:
    """`layers`, of which `shapes` are known, under the names that `wanted` has for them.

    The layers that are not found by name and shapes are taken by order, if all have the shapes
    wanted but some of the head. Both mappings have the order of their networks. Layers inside
    others are found by name alone: the query, key and value of attention have the same shapes.
    """
    if any("/" in name for name in wanted):
        return dict(layers)
    ours = [name for name in wanted if shapes.get(name) != wanted[name]]
    theirs = [name for name in shapes if wanted.get(name) != shapes[name]]
    pairs = list(zip(ours, theirs, strict=False))
    same = next(
        (n for n, (own, other) in enumerate(pairs) if wanted[own] != shapes[other]), len(pairs)
    )
    if len(ours) - same > HEAD:
        same = 0
    names = dict(zip(theirs[:same], ours[:same], strict=True))
    taken = {*names.values()}
    kept = {name: name for name in layers if name not in names and name not in taken}
    return {new: layers[old] for old, new in {**kept, **names}.items()}
