"""Layers of a file under the names of a network that has the same ones in the same order.

Keras numbers the layers that it names itself through a whole process (`conv2d_94`), and older
versions named some otherwise (`expanded_conv/depthwise`). Its own loader goes by order alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TypeVar

T = TypeVar("T")
Shapes = Sequence[Sequence[int]]
HEAD = 9  # layers at the end of a network that a file may have otherwise: the largest head


def renamed(
    layers: Mapping[str, T], shapes: Mapping[str, Shapes], wanted: Mapping[str, Shapes]
) -> dict[str, T]:
    """`layers`, of which `shapes` are known, under the names that `wanted` has for them.

    Layers that differ by their number alone are taken by order, if the file has as many of the same
    shapes; else by name. The others are taken by order among those of their shapes, if all are
    found but some of the head. In both mappings, layers of one kind have the order of the network.
    Layers inside others are found by name alone: the query, key and value of attention have the
    same shapes.
    """
    if any("/" in name for name in wanted):
        return dict(layers)
    theirs, ours = ({name: _text(of[name]) for name in of} for of in (shapes, wanted))
    names = _in_order(theirs, ours, by=_family)
    left, needed = _others(theirs, names.keys()), _others(ours, names.values())
    names |= {name: name for name in left.keys() & needed.keys() if left[name] == needed[name]}
    left, needed = _others(theirs, names.keys()), _others(ours, names.values())
    others = _in_order(left, needed, by=_kind)
    if len(needed) - len(others) <= HEAD:
        names |= others
    kept = {name: name for name in _others(layers, names.keys()) if name not in names.values()}
    return {new: layers[old] for old, new in {**kept, **names}.items()}


def _text(shapes: Shapes) -> str:
    return str([list(shape) for shape in shapes])


def _others(layers: Mapping[str, T], names: Collection[str]) -> dict[str, T]:
    return {name: layer for name, layer in layers.items() if name not in names}


def _family(name: str, shapes: str) -> str:
    """The name without its number."""
    return re.sub(r"_\d+$", "", name)


def _kind(name: str, shapes: str) -> str:
    return shapes


def _in_order(
    theirs: Mapping[str, str], ours: Mapping[str, str], *, by: Callable[[str, str], str]
) -> dict[str, str]:
    """Name in the file -> name in the network, in each group that has the same shapes in both."""
    found: dict[str, tuple[list[str], list[str]]] = {}
    for side, layers in enumerate((theirs, ours)):
        for name, shapes in layers.items():
            found.setdefault(by(name, shapes), ([], []))[side].append(name)
    return {
        old: new
        for there, here in found.values()
        if [theirs[name] for name in there] == [ours[name] for name in here]
        for old, new in zip(there, here, strict=True)
    }
