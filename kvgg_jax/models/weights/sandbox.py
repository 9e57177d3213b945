"""Weights from a file that may be anybody's: arrays that fit, or an error with its name."""

from __future__ import annotations

import errno
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO

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


def read_weights(path: Path, wanted: Shapes, *, by_order: bool = False) -> Found:
    """The layers of Keras' `.weights.h5`, `.h5` or `.keras`, or of a `.safetensors` file.

    `by_order` finds the layers that have other names in the file, where all have the order and the
    shapes of those wanted.
    Another process reads the file, with limits on its time and memory. Raises WeightsError for a
    file that is damaged, hostile, or of another kind, and where there is no space, memory or time.
    """
    size = path.stat().st_size if os.path.exists(path) else 0  # else the reader reports it
    limits = SECONDS + size // 10**8, MEMORY + 4 * size
    try:
        with tempfile.TemporaryFile() as answer:
            done = _run_reader(path, (wanted, by_order), limits, answer)
            if done.returncode == files.REFUSED:
                raise WeightsError(done.stderr.decode(errors="replace"))
            if done.returncode:
                raise WeightsError(_fault(path, done.returncode, limits))
            answer.seek(0)
            return _found(answer, wanted)
    except MemoryError:
        code = files.NO_MEMORY
    except OSError as error:
        code = files.NO_MEMORY if error.errno == errno.ENOMEM else files.NO_SPACE
    raise WeightsError(_fault(path, code, limits))


def _run_reader(
    path: Path, question: tuple[Shapes, bool], limits: tuple[int, int], answer: IO[bytes]
) -> subprocess.CompletedProcess[bytes]:
    where = [str(Path(__file__).parents[2]), *filter(None, sys.path)]
    settings = {"OPENBLAS_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}  # threads take memory
    return subprocess.run(
        [sys.executable, "-P", "-m", files.__name__, path, *map(str, limits)],
        input=json.dumps(question).encode(),
        stdout=answer,
        stderr=subprocess.PIPE,
        env={**os.environ, **settings, "PYTHONPATH": os.pathsep.join(where)},
        check=False,
    )


def _fault(path: Path, code: int, limits: tuple[int, int]) -> str:
    """Why the reader ended with `code`: the machine's limits, and if none of them, the file."""
    file, (seconds, memory) = escape_name(path), limits
    if code == files.NO_SPACE:
        folder = escape_name(tempfile.tempdir or os.environ.get("TMPDIR", "/tmp"))
        return (
            f"{folder} has no space for the temporary files that reading {file} needs. "
            "Free some, or set TMPDIR to a folder with space."
        )
    if code in (-signal.SIGXCPU, -signal.SIGKILL):
        if (ours := files.allowed(resource.RLIMIT_CPU, seconds)) < seconds:
            return (
                f"Reading {file} takes more than the {ours} s of processor time that this process "
                "may use. Raise the limit: ulimit -t"
            )
    elif (ours := files.allowed(resource.RLIMIT_AS, memory)) < memory:
        return (
            f"Reading {file} takes more than the {ours / 1e6:,.0f} MB of memory that this process "
            f"may use. Raise the limit: ulimit -v {memory // 1024}"
        )
    if code == -signal.SIGKILL:
        return (
            f"The system ended the process that read {file}, as it does when memory runs out. End "
            "other programs and try again."
        )
    return f"{file} cannot be read as weights: it is damaged, or made to do harm."


def _found(answer: IO[bytes], wanted: Shapes) -> Found:
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
