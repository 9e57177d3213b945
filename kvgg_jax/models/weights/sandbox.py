"""Weights from a file that may be anybody's: arrays that fit, or an error with its name."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kvgg_jax.core.errors import WeightsError
from kvgg_jax.core.text import escape_name
from kvgg_jax.models.weights import files

Shapes = dict[str, list[tuple[int, ...]]]
"""Layer name -> the shapes of its arrays, in Keras' order."""
SECONDS, MEMORY = 3, 2**31  # of CPU, and bytes, for the reader, beside what the file's size asks


@dataclass(frozen=True, slots=True)
class Found:
    """What a source of weights has of the layers that were asked for."""

    shapes: Shapes
    """Of all its layers, the others too."""
    arrays: dict[str, list[NDArray[np.float32]]]
    """Of each layer that has the shapes asked for: kernel, bias; or gamma, beta, mean, variance."""


def read_weights(path: Path, wanted: Shapes) -> Found:
    """The layers of Keras' `.weights.h5`, `.h5` or `.keras`, or of a `.safetensors` file.

    The file is read by another process, with bounds on its time and memory. Raises WeightsError
    for one that is damaged, hostile, or of another kind.
    """
    size = path.stat().st_size if os.path.exists(path) else 0  # else the reader reports it
    limits = SECONDS + size // 10**8, MEMORY + 4 * size
    where = [str(Path(__file__).parents[2]), *filter(None, sys.path)]
    settings = {"OPENBLAS_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}  # threads take memory
    with tempfile.TemporaryFile() as answer:
        done = subprocess.run(
            [sys.executable, "-P", "-m", files.__name__, path, *map(str, limits)],
            input=json.dumps(wanted).encode(),
            stdout=answer,
            stderr=subprocess.PIPE,
            env={**os.environ, **settings, "PYTHONPATH": os.pathsep.join(where)},
            check=False,
        )
        if done.returncode == files.REFUSED:
            raise WeightsError(done.stderr.decode(errors="replace"))
        if done.returncode:
            raise WeightsError(
                f"{escape_name(path)} cannot be read as weights: it is damaged, or made to do harm."
            )
        answer.seek(0)
        with np.load(answer, allow_pickle=False) as arrays:
            shapes = json.loads(arrays["shapes"].tobytes())
            return Found(
                {name: [tuple(shape) for shape in layer] for name, layer in shapes.items()},
                {
                    name: [arrays[f"{name}|{n}"] for n in range(len(wanted[name]))]
                    for name in wanted
                    if f"{name}|0" in arrays
                },
            )
