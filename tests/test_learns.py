"""The whole program on pictures that can be learnt: it must learn them."""

from __future__ import annotations

import pytest
from conftest import small_config

from kvgg_jax.training import train


@pytest.mark.usefixtures("thin")
def test_a_small_vgg_tells_three_colours_apart(photos, tmp_path):
    """Every validation picture is right within a few epochs, and the loss falls by half."""
    config = small_config(photos, optim={"lr": 3e-3}, train={"epochs": 12})
    history = train(config, out=tmp_path / "runs").history
    assert history.best is not None
    assert history.best.val_accuracy == 1.0
    assert history.epochs[-1].loss < history.epochs[0].loss / 2
