"""The values that cross `jax.jit` and the checkpoint: named tuples of arrays."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import numpy as np
from jax import Array
from numpy.typing import NDArray

AnyArray = Array | NDArray[Any]


class Batch(NamedTuple):
    """Always of full size: filler rows have weight 0."""

    images: AnyArray
    """uint8 [batch, size, size, 3], RGB in 0..255; or their float32 features."""
    labels: AnyArray
    """int32 [batch], index into the class names; after mixing float32 [batch, classes], shares."""
    weight: AnyArray
    """float32 [batch], how often an image counts, mostly 1; 0 for a filler."""


class TrainState(NamedTuple):
    """All that the next step depends on. Arrays are keyed by the variable's path in the model."""

    step: AnyArray
    """int32 scalar: optimizer steps taken."""
    params: dict[str, AnyArray]
    model_state: dict[str, AnyArray]
    """Batch-norm statistics and the dropout seeds."""
    opt_state: dict[str, AnyArray]


class Tally(NamedTuple):
    """Sums over images; ratios are made once, on the host."""

    loss: AnyArray
    correct: AnyArray
    count: AnyArray  # type: ignore[assignment]  # shadows tuple.count

    def merge(self, other: Tally) -> Tally:
        """The sums over the images of both."""
        return Tally(*(a + b for a, b in zip(self, other, strict=True)))


Weights = tuple[dict[str, AnyArray], dict[str, AnyArray]]
"""(params, model_state): what evaluation and prediction need of a state."""


def discard(state: TrainState) -> None:
    """Free the memory of a state, which must not be used again."""
    for leaf in jax.tree.leaves(state):
        if isinstance(leaf, Array):
            leaf.delete()


def empty_batch(count: int, size: int) -> Batch:
    """`count` fillers to compile with: black images of `size` pixels per side."""
    return Batch(
        np.zeros((count, size, size, 3), np.uint8),
        np.zeros(count, np.int32),
        np.zeros(count, np.float32),
    )
