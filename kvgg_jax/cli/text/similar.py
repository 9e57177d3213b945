"""Similar training photos as lines."""

from __future__ import annotations

from kvgg_jax.core.text import escape_name
from kvgg_jax.inference.neighbors import Neighbor, Similar


def similar_text(one: Similar) -> str:
    """The photo and its class, and below it a line for each training photo."""
    first = one.prediction
    head = f"{escape_name(first.path)}: {escape_name(first.label)} {first.probability:.1%}"
    return "\n".join([head, *map(neighbor_line, one.neighbors)])


def neighbor_line(near: Neighbor) -> str:
    """Its similarity, class and path."""
    return f"  {near.similarity:+.3f}  {escape_name(near.label)}  {escape_name(near.path)}"
