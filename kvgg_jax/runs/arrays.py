"""Arrays that a run keeps in a file of its folder, made by one state of its weights."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from kvgg_jax.core.errors import RunError
from kvgg_jax.core.text import escape_name
from kvgg_jax.runs.folder import write_file

T = TypeVar("T")
Arrays = Mapping[str, NDArray[Any]]


def write_arrays(file: Path, state: str, arrays: Arrays) -> None:
    """Write an `.npz` file. Raises RunError."""
    content = io.BytesIO()
    np.savez(content, allow_pickle=False, state=np.array(state), **arrays)
    write_file(file, content.getvalue())


def read_arrays(file: Path, build: Callable[[Arrays], T], *, again: str) -> tuple[str, T] | None:
    """The state of the weights, and what `build` makes of the arrays; None without a file.

    `build` raises KeyError or ValueError where something is missing or wrong. Raises RunError for a
    damaged file, which tells how to make it `again`.
    """
    if not file.exists():
        return None
    try:
        with file.open("rb") as stream, np.load(stream) as kept:  # it leaves open what it refuses
            return str(kept["state"]), build(kept)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        raise RunError(f"{escape_name(file)} is damaged. {again}") from None
