"""Embeddings as a file: NumPy's .npz, or Parquet."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from kvgg_jax.core.errors import UsageError
from kvgg_jax.core.extras import require
from kvgg_jax.core.text import escape_name, printable
from kvgg_jax.inference.embedding import Embedded
from kvgg_jax.runs.folder import write_file

Write = Callable[[Sequence[Embedded]], None]


def writer_of(file: Path) -> Write:
    """What writes embeddings to `file`, in one move.

    Raises UsageError for another suffix and for a file that is there, MissingExtra without the
    library; nothing has been computed by then. The call raises RunError where it cannot be written.
    """
    kinds: dict[str, Callable[[Sequence[Embedded]], bytes]] = {".npz": _npz, ".parquet": _parquet}
    kind = kinds.get(file.suffix.lower())
    if kind is None:
        raise UsageError(f"--output {escape_name(file)}: the name ends in .npz or .parquet.")
    if os.path.lexists(file):
        raise UsageError(f"--output {escape_name(file)} exists. Choose another name, or remove it.")
    if kind is _parquet:
        require("parquet", by="A Parquet file")
    return lambda found: write_file(file, kind(found))


def _npz(found: Sequence[Embedded]) -> bytes:
    """`vectors` float32 [count, width], and `paths` and `classes` [count]."""
    content = io.BytesIO()
    np.savez(
        content,
        vectors=_stacked(found),
        paths=np.array([printable(str(one.path)) for one in found]),
        classes=np.array([one.prediction.label for one in found]),
    )
    return content.getvalue()


def _parquet(found: Sequence[Embedded]) -> bytes:
    """The columns path, class, probability and vector."""
    import pyarrow
    from pyarrow import parquet

    vectors = _stacked(found)
    values = pyarrow.array(vectors.ravel())
    columns = {
        "path": [printable(str(one.path)) for one in found],
        "class": [one.prediction.label for one in found],
        "probability": [one.prediction.probability for one in found],
        "vector": pyarrow.FixedSizeListArray.from_arrays(values, vectors.shape[1]),
    }
    content = io.BytesIO()
    parquet.write_table(pyarrow.table(columns), content)
    return content.getvalue()


def _stacked(found: Sequence[Embedded]) -> np.ndarray:
    return np.stack([one.vector for one in found if one.vector is not None])
