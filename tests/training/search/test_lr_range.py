"""The learning-rate range test: which rates, which losses, when it ends, what it suggests."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from kvgg_jax.core.config import RunConfig
from kvgg_jax.core.errors import UsageError
from kvgg_jax.core.events import Event, Progress
from kvgg_jax.core.tables.optim import OptimConfig
from kvgg_jax.training.search.lr_range import RangeTest, lr_find
from support.runs import draw_photos, small_config

pytestmark = pytest.mark.usefixtures("thin_network", "blank")


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory, thin_network: None) -> RunConfig:
    """Of 30 photos, 24 of them for training, in three steps; its own schedule is set aside."""
    photos = draw_photos(tmp_path_factory.mktemp("lr") / "photos", per_class=10)
    return small_config(
        photos,
        data={"augment": "light"},
        optim={"schedule": "cosine", "warmup_steps": 1},
        train={"epochs": 1},
    )


@pytest.fixture(scope="module")
def found(config: RunConfig) -> tuple[RangeTest, list[Event]]:
    """A test of 20 steps, over several epochs of 3, and its events."""
    heard: list[Event] = []
    return lr_find(config, low=1e-6, high=1e-5, steps=20, emit=heard.append), heard


def test_the_rate_rises_by_an_equal_factor_from_low_to_high(found):
    """Over several epochs where one is too short, with progress."""
    result, heard = found
    assert result.rates == pytest.approx(np.geomspace(1e-6, 1e-5, 20))
    assert [event for event in heard if getattr(event, "stage", "") == "testing rates"] == [
        Progress("testing rates", step, 20, 8) for step in range(1, 21)
    ]


def test_the_smoothed_loss_is_a_weighted_mean_of_those_so_far(found):
    """Over about a tenth of the steps: weights fall by 1/2 a step when there are 20."""
    result, _ = found
    for step, smoothed in enumerate(result.smoothed):
        weights = 0.5 ** np.arange(step, -1, -1)
        assert smoothed == pytest.approx(np.average(result.losses[: step + 1], weights=weights))


def test_it_ends_when_the_loss_explodes(config, tmp_path, monkeypatch):
    """Higher rates would show nothing; it leaves no file behind."""
    monkeypatch.chdir(tmp_path)
    result = lr_find(config, low=1e-4, high=1e6, steps=20)
    assert 2 < len(result.rates) < 20
    assert result.reason.startswith(
        ("the loss exploded at ", "the loss was nan at ", "the loss was inf at ")
    )
    assert len(result.rates) == len(result.losses) == len(result.smoothed)
    assert np.isfinite(result.losses).all()
    assert list(tmp_path.iterdir()) == []


def test_the_suggestion_is_a_third_of_the_rate_with_the_lowest_smoothed_loss():
    """Not of the lowest loss, which one easy batch may give."""
    result = RangeTest((1e-4, 3e-3, 1e-1), (1.0, 0.9, 0.1), (1.0, 0.4, 0.5), "")
    assert (result.lowest, result.suggested) == (1, 1e-3)


@pytest.mark.parametrize(("low", "high"), [(1e-3, 1e-3), (1e-3, 1e-5), (0.0, 1.0), (1e-3, np.inf)])
def test_a_range_that_does_not_rise_is_a_usage_error(tmp_path, low, high):
    """Before the photos are looked for."""
    with pytest.raises(UsageError) as caught:
        lr_find(small_config(Path("nowhere")), low=low, high=high)
    assert str(caught.value) == (f"From {low:g} to {high:g} in 100 steps: the rate cannot rise so.")


def test_every_setting_of_the_rate_is_replaced():
    """One that is new and shapes the rate belongs among those that `lr_find` replaces."""
    replaced = {"lr", "schedule", "warmup_steps", "unfreeze_every"}
    replaced |= {"decay_steps", "decay_rate", "staircase"}
    assert set(OptimConfig.model_fields) - replaced == {
        *{"optimizer", "momentum", "nesterov", "clip_norm", "weight_decay", "stage_decay"},
        *{"loss", "focal_gamma", "label_smoothing"},
    }


def test_a_linear_head_has_no_rate_to_be_found() -> None:
    """It is solved; the message names a head that is trained."""
    with pytest.raises(UsageError) as caught:
        lr_find(RunConfig(model={"head": "linear"}))
    assert str(caught.value) == (
        "A linear head is solved, at no rate: choose another, `model.head = gap`."
    )
