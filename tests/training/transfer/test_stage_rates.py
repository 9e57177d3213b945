"""Lower stages learn more slowly, and later; the head learns at the whole rate."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from kvgg_jax.core.config import RunConfig
from kvgg_jax.core.keras_gate import keras
from kvgg_jax.core.state import Batch
from kvgg_jax.models.build import vgg
from kvgg_jax.training.optimizers import build_optimizer
from kvgg_jax.training.step import init_state, make_train_step, zero_tally
from kvgg_jax.training.transfer.stage_rates import make_shares

pytestmark = pytest.mark.usefixtures("thin_network")


def config(head: str = "gap", **optim: Any) -> RunConfig:
    return RunConfig(model={"arch": "vgg11", "head": head}, optim={"optimizer": "sgd", **optim})


def by_layer(config: RunConfig, step: int) -> dict[str, float]:
    """Stage -> the share of its variables at `step`, with ten steps per epoch."""
    model = vgg(config.model, classes=3, image_size=32, seed=None)
    shares = make_shares(config, model, steps=10)
    assert shares is not None
    names = [variable.path[:6] for variable in model.trainable_variables]
    found = dict(zip(names, map(float, shares(jnp.int32(step))), strict=True))
    return {name: round(share, 4) for name, share in found.items()}


def test_the_share_falls_from_the_head_to_the_first_stage() -> None:
    """By the same factor from stage to stage."""
    assert by_layer(config(stage_decay=0.5), 0) == {
        "block1": 0.0312,
        "block2": 0.0625,
        "block3": 0.125,
        "block4": 0.25,
        "block5": 0.5,
        "predic": 1.0,
    }
    model = vgg(config().model, classes=3, image_size=32, seed=None)
    assert make_shares(config(), model, steps=10) is None


@pytest.mark.parametrize(
    ("head", "step", "learning"),
    [
        ("gap", 19, {"predic"}),
        ("gap", 20, {"predic", "block5"}),
        ("gap", 40, {"predic", "block5", "block4"}),
        ("linear", 10, {"predic", "block5"}),  # its first epoch solves the head
        ("linear", 29, {"predic", "block5"}),
        ("linear", 30, {"predic", "block5", "block4"}),
        ("linear", 90, {"predic", "block5", "block4", "block3", "block2", "block1"}),
    ],
)
def test_stages_begin_to_learn_from_the_top(head: str, step: int, learning: set[str]) -> None:
    """Every second epoch of ten steps one more."""
    shares = by_layer(config(head, unfreeze_every=2), step)
    assert {name for name, share in shares.items() if share == 1} == learning
    assert {share for share in shares.values()} <= {0.0, 1.0}


def test_a_step_makes_each_share_of_the_change() -> None:
    """Of what the optimizer alone would do."""
    images = np.random.default_rng(0).random((4, 2, 2, 3), np.float32)
    batch = Batch(images, np.arange(4, dtype=np.int32) % 3, np.ones(4, np.float32))
    changes = []
    for shares in (None, lambda step: (0.5, 1.0)):
        keras.utils.set_random_seed(0)
        dense = [keras.layers.Dense(3, use_bias=False) for _ in range(2)]
        model = keras.Sequential([keras.Input((2, 2, 3)), keras.layers.Flatten(), *dense])
        optimizer = build_optimizer(config(lr=0.1, momentum=0.9).optim, model)
        state = init_state(model, optimizer)
        before = [np.array(value) for value in state.params.values()]
        after, _ = make_train_step(model, optimizer, shares=shares)(state, zero_tally(), batch)
        new = [np.asarray(value) for value in after.params.values()]
        changes.append([right - left for left, right in zip(before, new, strict=True)])
    for whole, shared, share in zip(*changes, (0.5, 1.0), strict=True):
        assert np.abs(whole).max() > 1e-6
        np.testing.assert_allclose(shared, share * whole, rtol=1e-2, atol=1e-7)
