"""Arrays of a run: they come back with the state of their weights, or the file is damaged."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from kvgg_jax.core.errors import RunError
from kvgg_jax.runs.arrays import Arrays, read_arrays, write_arrays

AGAIN = "Make it again."


def total(kept: Arrays) -> float:
    if (kept["some"] < 0).any():
        raise ValueError
    return float(kept["some"].sum())


def test_they_come_back_with_their_state(tmp_path: Path) -> None:
    """None before they are written."""
    file = tmp_path / "x.npz"
    assert read_arrays(file, total, again=AGAIN) is None
    write_arrays(file, "epoch-3", {"some": np.array([1.0, 2.0])})
    assert read_arrays(file, total, again=AGAIN) == ("epoch-3", 3.0)


@pytest.mark.parametrize(
    "arrays", [{"other": np.zeros(1)}, {"some": np.array([-1.0])}], ids=["missing", "wrong"]
)
def test_other_arrays_are_damage(tmp_path: Path, arrays: Arrays) -> None:
    """What is missing, and what the reader refuses."""
    file = tmp_path / "x.npz"
    write_arrays(file, "epoch-3", arrays)
    with pytest.raises(RunError) as caught:
        read_arrays(file, total, again=AGAIN)
    assert str(caught.value) == f"{file} is damaged. {AGAIN}"


@pytest.mark.parametrize("share", [0, 0.5])
def test_a_part_of_a_file_is_damage(tmp_path: Path, share: float) -> None:
    """And it is closed: a warning of an open file would fail the test."""
    file = tmp_path / "x.npz"
    write_arrays(file, "epoch-3", {"some": np.zeros(99)})
    content = file.read_bytes()
    file.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(RunError, match="is damaged"):
        read_arrays(file, total, again=AGAIN)
