"""A folder with `train/` and `val/`: a split that somebody else made, used as it is.

`scan` gives its photos by paths such as `train/Dark/1.png`.
"""

from __future__ import annotations

import os

import numpy as np

from kvgg_jax.core.config import RunConfig
from kvgg_jax.core.errors import DataError
from kvgg_jax.core.events import Emit, Note
from kvgg_jax.core.text import escape_name
from kvgg_jax.data.folder import TEST, TRAIN, Samples
from kvgg_jax.data.split import Split

GIVEN = "given"
"""How such photos are split, whatever `data.split` says."""


def how_split(config: RunConfig, samples: Samples) -> str:
    """`data.split`, or `GIVEN` where the photos lie in parts already."""
    tops = [path.partition("/")[0] for path in samples.paths]
    by_class = tops == [samples.classes[label] for label in samples.labels]
    return config.data.split if by_class else GIVEN


def given_split(config: RunConfig, samples: Samples, emit: Emit) -> Split:
    """The parts in which `samples` lie; a Note says so. Raises DataError where folds are wanted."""
    tops = np.array([path.partition("/")[0] for path in samples.paths])
    parts = list(dict.fromkeys(tops.tolist()))
    train, val = sorted(parts, key=lambda name: name.lower() not in TRAIN)
    root = escape_name(samples.root)
    if config.data.folds:
        raise DataError(
            f"{root} is split into {train} and {val} already, and folds are dealt from one folder. "
            f"Give one part: {escape_name(samples.root / train)}."
        )
    others = [name for name in sorted(os.listdir(samples.root)) if name.lower() in TEST]
    alone = f"; {' and '.join(others)} is left alone" if others else ""
    emit(Note(f"{root} is split already: {train} for training, {val} for validation{alone}"))
    return Split(*(samples.take(np.flatnonzero(tops == part).tolist()) for part in (train, val)))
