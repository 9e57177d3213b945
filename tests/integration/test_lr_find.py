"""The learning-rate range test takes the steps of a training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from kvgg_jax.training.search.lr_range import lr_find
from kvgg_jax.training.trainer import train
from support.runs import draw_photos, small_config

pytestmark = pytest.mark.usefixtures("thin_network", "blank")


def test_the_losses_are_those_of_training(tmp_path: Path) -> None:
    """At a rate that moves nothing: the photos, augmented, of the first steps of `train`."""
    still = small_config(
        draw_photos(tmp_path / "photos", per_class=10),
        data={"augment": "light"},
        optim={"lr": 1e-12, "decay_rate": 1.0},
        train={"epochs": 1},
    )
    result = lr_find(still, low=1e-12, high=2e-12, steps=3)
    first = train(still, out=tmp_path, name="x").history.epochs[0]
    assert np.mean(result.losses) == pytest.approx(first.loss)
    assert result.reason == "all 3 steps are done"
