"""A run with a loss and an optimizer of the caller's, cut and resumed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kvgg_jax.core.errors import RunError, Stopped
from kvgg_jax.core.events import Event, Progress
from kvgg_jax.core.keras_gate import keras
from kvgg_jax.runs.folder import Run
from kvgg_jax.training.losses import cross_entropy
from kvgg_jax.training.trainer import resume, train
from support.runs import small_config

pytestmark = pytest.mark.usefixtures("thin_network", "blank")


def my_loss(labels: Any, logits: Any) -> Any:
    """Twice as much."""
    return 2 * cross_entropy(labels, logits)


def my_optimizer(rates: Any) -> Any:
    """Without a name, so Keras numbers it across the process."""
    return keras.optimizers.SGD(rates, momentum=0.5)


def test_a_resume_needs_what_the_run_started_with(photos: Path, tmp_path: Path) -> None:
    """Their names are in `run.json`; the slots have names that do not depend on the process."""
    steps: list[Event] = []

    def after_a_step() -> bool:
        return any(isinstance(event, Progress) and event.stage == "training" for event in steps)

    given: Any = {"loss": my_loss, "optimizer": my_optimizer}
    config = small_config(photos, train={"epochs": 1})
    with pytest.raises(Stopped):
        train(config, **given, out=tmp_path, name="own", stop=after_a_step, emit=steps.append)
    run = Run(tmp_path / "own")
    names = {part: f"{__name__}.my_{part}" for part in given}
    assert run.info()["custom"] == names
    for others, differences in (
        ({}, [f'  {part}: "{name}" then, nothing now' for part, name in names.items()]),
        (
            {**given, "loss": cross_entropy},
            [f'  loss: "{names["loss"]}" then, "{name_of(cross_entropy)}" now'],
        ),
    ):
        with pytest.raises(RunError) as caught:
            resume(run.path, **others)
        assert str(caught.value).splitlines() == [
            f"{run.path} has not started with this loss and optimizer:",
            *differences,
            f"Give it what it started with: kvgg_jax.resume({str(run.path)!r}, ...).",
        ]
    (row,) = resume(run.path, **given).history
    assert row.loss is not None
    assert row.loss > 1.2 * row.val_loss  # 1.1 nats of three classes, and twice that


def name_of(function: Any) -> str:
    return f"{function.__module__}.{function.__qualname__}"
