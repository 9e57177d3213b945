"""Whole runs that get no more memory, in earnest: one message, and a resume to the same end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import pytest

from kvgg_jax import evaluate
from kvgg_jax.core.history import History
from kvgg_jax.data.pipeline import Pipeline
from kvgg_jax.runs.folder import Run
from support.commands import TINY, kvgg, message
from support.runs import Trained

pytestmark = pytest.mark.usefixtures("thin_network", "blank")


@contextmanager
def memory_for(count: int) -> Iterator[None]:
    """For so many batches of any pipeline; then a petabyte is asked for."""
    whole, left = Pipeline.epoch, iter(range(count))

    def epoch(self: Pipeline, *args: Any, **options: Any) -> Iterator[Any]:
        for batch in whole(self, *args, **options):
            if next(left, None) is None:
                jnp.zeros((1 << 10, 1 << 40), jnp.uint8).block_until_ready()
            yield batch

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Pipeline, "epoch", epoch)
        yield


ADVICE = (
    "Error: Out of memory with batches of 8 images of 32 px. Start a new run with --accumulate 2 "
    "(the same steps), --batch-size 4 or a smaller --image-size. What this run saved is safe."
)


def test_training_that_runs_out_of_memory_can_be_resumed(trained: Trained, tmp_path: Path) -> None:
    """In the second epoch: one message, exit code 1; then, with memory again, to the same end."""
    arguments = (*TINY, "--data", trained.photos, "--out", tmp_path, "--epochs", "2", "--name", "x")
    with memory_for(1 + 4 + 1 + 2):  # samples.png, an epoch, its validation, two steps
        result = kvgg("train", *arguments)
    assert (result.exit_code, message(result).splitlines()[-1]) == (1, ADVICE)
    assert "Traceback" not in result.output
    assert len(Run(tmp_path / "x").history()) == 1
    assert evaluate(tmp_path / "x").count == 7
    assert kvgg("train", "--resume", tmp_path / "x").exit_code == 0
    assert figures(Run(tmp_path / "x").history()) == figures(Run(trained.run).history())


def figures(history: History) -> list[tuple[float, ...]]:
    return [(row.loss, row.accuracy, row.val_loss, row.val_accuracy) for row in history]


def test_a_crossval_that_runs_out_of_memory_is_resumed_by_the_same_command(
    trained: Trained, tmp_path: Path
) -> None:
    """In its second fold."""
    where = ("--data", trained.photos, "--out", tmp_path, "--epochs", "1", "--name", "x")
    # samples.png, an epoch of 18 photos, its validation, the embeddings of both, the next
    with memory_for(1 + 3 + 3 + 3 + 3 + 1):
        result = kvgg("crossval", *TINY, *where, "--folds", "2")
    assert (result.exit_code, message(result).splitlines()[-1]) == (1, ADVICE)
    again = kvgg("crossval", *TINY, *where, "--folds", "2")
    assert again.exit_code == 0, again.output
    assert "Fold 1 of 2 is done already" in again.stderr
