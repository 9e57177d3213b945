"""The learning rates, against their closed forms."""

from __future__ import annotations

from typing import get_args

import jax
import numpy as np
import pytest

from kvgg_jax.core.errors import ConfigError
from kvgg_jax.core.tables.optim import OptimConfig
from kvgg_jax.training.schedules import SCHEDULES, build_schedule

RECIPE = OptimConfig()


@pytest.mark.parametrize(
    ("step", "exponent"), [(0, 0), (19, 0), (20, 1), (39, 1), (40, 2), (99, 4), (2000, 100)]
)
def test_the_rate_falls_by_5_percent_every_20_steps(step, exponent):
    """lr * decay_rate ** floor(step / decay_steps), in float32, on the first step and after."""
    rate = float(build_schedule(RECIPE)(step))
    assert rate == pytest.approx(1e-4 * 0.95**exponent, rel=1e-5)
    assert rate == float(build_schedule(RECIPE)(20 * exponent))  # a stair is flat, to the bit
    if exponent < 2:
        assert rate == np.float32(1e-4) * np.float32(0.95) ** np.float32(exponent)


def test_without_stairs_the_rate_falls_at_every_step():
    """lr * decay_rate ** (step / decay_steps)."""
    schedule = build_schedule(OptimConfig(lr=0.1, decay_steps=10, decay_rate=0.5, staircase=False))
    rates = [float(schedule(step)) for step in (0, 5, 10)]
    assert rates == pytest.approx([0.1, 0.1 * 0.5**0.5, 0.05], rel=1e-6)


def test_a_cosine_falls_from_the_first_rate_to_nearly_none_at_the_last_step():
    """lr * (1 + cos(pi * step / steps)) / 2."""
    schedule = build_schedule(OptimConfig(lr=0.1, schedule="cosine"), steps=40)
    rates = [float(schedule(step)) for step in range(40)]
    expected = [0.05 * (1 + np.cos(np.pi * step / 40)) for step in range(40)]
    assert rates == pytest.approx(expected, rel=1e-4)
    assert (rates[0], rates[20]) == pytest.approx((0.1, 0.05))
    assert 0 < rates[-1] < 0.0002


def test_a_one_cycle_rises_in_a_line_for_three_tenths_of_the_run_and_falls_in_a_cosine():
    """From lr / 25 to lr, and down to lr / 250,000 at the last step."""
    schedule = build_schedule(OptimConfig(lr=0.1, schedule="one-cycle"), steps=40)
    rates = [float(schedule(step)) for step in range(40)]
    up = [0.004 + 0.096 * step / 12 for step in range(12)]
    down = [4e-7 + (0.1 - 4e-7) * (1 + np.cos(np.pi * step / 27)) / 2 for step in range(28)]
    assert rates == pytest.approx(up + down, rel=1e-4)
    assert (rates[12], rates[-1]) == pytest.approx((0.1, 4e-7), rel=1e-4)
    traced = jax.jit(schedule)
    assert [float(traced(step)) for step in (5, 30)] == pytest.approx([rates[5], rates[30]])


@pytest.mark.parametrize(
    ("steps", "expected"), [(1, [0.004]), (2, [0.004, 0.1]), (3, [0.004, 0.1, 4e-7])]
)
def test_the_shortest_one_cycle_has_a_rate_at_each_step(steps, expected):
    """It rises for a step, though three tenths of it may be none."""
    schedule = build_schedule(OptimConfig(lr=0.1, schedule="one-cycle"), steps=steps)
    rates = [float(schedule(step)) for step in range(steps)]
    assert rates == pytest.approx(expected, rel=1e-3)


def test_a_constant_rate_is_the_same_at_every_step():
    """To the bit, whatever the decay keys say."""
    schedule = build_schedule(OptimConfig(lr=0.1, schedule="constant", decay_rate=0.5))
    assert {float(schedule(step)) for step in (0, 1, 1000)} == {float(np.float32(0.1))}


@pytest.mark.parametrize("kind", ["exponential", "cosine", "constant"])
def test_a_warm_up_rises_in_a_line_and_the_schedule_begins_after_it(kind):
    """lr * (step + 1) / (warm-up + 1); the first step is not for nothing."""
    settings = OptimConfig(lr=0.1, schedule=kind, decay_steps=2, decay_rate=0.5)
    warm = build_schedule(settings.model_copy(update={"warmup_steps": 4}), steps=24)
    after = build_schedule(settings, steps=20)
    assert [float(warm(step)) for step in range(4)] == pytest.approx([0.02, 0.04, 0.06, 0.08])
    for step in (4, 5, 10, 23):
        assert float(warm(step)) == pytest.approx(float(after(step - 4)), rel=1e-6)
    traced = jax.jit(warm)
    assert [float(traced(step)) for step in (0, 10)] == [float(warm(step)) for step in (0, 10)]


@pytest.mark.parametrize("steps", [None, 4])
def test_a_cosine_without_steps_to_fall_in_is_a_config_error(steps):
    """It could not be told from a rate of 0."""
    with pytest.raises(ConfigError, match=f"A cosine of {steps} steps, a warm-up of 4"):
        build_schedule(OptimConfig(schedule="cosine", warmup_steps=4), steps=steps)


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_schedule_says_whether_its_rates_depend_on_the_length(name):
    """A run of twice the steps has the same rates up to its middle, or the flag is set."""
    config = OptimConfig(schedule=name, decay_steps=2)
    short, long = (build_schedule(config, steps=steps) for steps in (20, 40))
    same = all(float(short(step)) == float(long(step)) for step in range(20))
    assert SCHEDULES[name].depends_on_length is not same


def test_each_name_that_a_config_takes_has_its_schedule():
    """And none is out of reach."""
    assert tuple(SCHEDULES) == get_args(OptimConfig.model_fields["schedule"].annotation)
