"""A run that has nothing left to do says what would let it go on."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from kvgg_jax.core.config import RunConfig
from kvgg_jax.core.errors import RunError
from kvgg_jax.core.history import Epoch, History
from kvgg_jax.training.unfinished import check_unfinished


def test_a_timed_run_that_its_patience_ended_asks_for_more_of_that() -> None:
    """More time would not help it."""
    rows = tuple(Epoch(n, 0.5, 0.75, 0.25, 1.0, 1e-4, 2.0, 10.0) for n in (1, 2, 3))
    run: Any = SimpleNamespace(
        path=Path("x"), history=lambda: History(rows), info=lambda: {"status": "finished"}
    )
    with pytest.raises(RunError) as caught:
        check_unfinished(run, RunConfig(train={"time": "30s", "patience": 2}))
    assert str(caught.value) == (
        "x has finished: validation accuracy has not risen by more than 0.001 for 2 epochs. To "
        "train longer, start a new run with a higher `train.patience`."
    )
