"""Embeddings as files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from kvgg_jax.cli.embedding_file import writer_of
from kvgg_jax.core.errors import RunError
from kvgg_jax.inference.embedding import Embedded
from kvgg_jax.inference.prediction import Prediction

FOUND = [
    Embedded(Prediction(Path(f"{name}.png"), ((name, 0.75), ("z", 0.25))), np.full(3, k, "float32"))
    for k, name in enumerate("ab")
]


@pytest.mark.extras
def test_parquet_has_a_row_for_each_photo(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="the extra parquet")
    file = tmp_path / "vectors.parquet"
    writer_of(file)(FOUND)
    assert parquet.read_table(file).to_pylist() == [
        {"path": "a.png", "class": "a", "probability": 0.75, "vector": [0.0] * 3},
        {"path": "b.png", "class": "b", "probability": 0.75, "vector": [1.0] * 3},
    ]


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    file = tmp_path / "no" / "vectors.npz"
    with pytest.raises(RunError) as caught:
        writer_of(file)(FOUND)
    assert str(caught.value) == f"Cannot write {file}: No such file or directory."
