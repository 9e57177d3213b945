"""The learning rates that `optim.schedule` names.

To add a schedule, enter it in `SCHEDULES` and its name in `OptimConfig.schedule`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

from kvgg_jax.core.errors import ConfigError
from kvgg_jax.core.keras_gate import keras
from kvgg_jax.core.tables.optim import OptimConfig

schedules = keras.optimizers.schedules
LearningRates: TypeAlias = keras.optimizers.schedules.LearningRateSchedule

RISE = 0.3  # share of a one-cycle's steps; all three as in PyTorch's OneCycleLR
FIRST = 1 / 25  # its first rate, as a share of the highest
LAST = FIRST / 10_000  # its last rate


class Schedule(NamedTuple):
    """How a schedule is built, and whether a longer run would have had other rates."""

    build: Callable[[OptimConfig, int], LearningRates]
    """From the settings and the steps left after the warm-up."""
    depends_on_length: bool = False


def build_schedule(config: OptimConfig, *, steps: int | None = None) -> LearningRates:
    """Step (steps already taken) -> learning rate, for a run of `steps` in all.

    A warm-up comes before the schedule and counts as steps of its own. Raises ConfigError for a
    schedule that depends on the length without `steps`, or with no more than those of the warm-up.
    """
    schedule, warmup = SCHEDULES[config.schedule], config.warmup_steps
    if schedule.depends_on_length and (steps is None or steps <= warmup):
        raise ConfigError(
            f"A {config.schedule} of {steps} steps, a warm-up of {warmup}: raise --epochs."
        )
    after = schedule.build(config, (steps or 0) - warmup)
    if not warmup:
        return after
    first = config.lr / (warmup + 1)  # not 0: each step trains
    return Warmup(after, warmup, first=first, peak=config.lr)


class Warmup(LearningRates):
    """A line from `first` to `peak` in `steps` steps, then the schedule `after`, from its start."""

    def __init__(self, after: LearningRates, steps: int, *, first: float, peak: float) -> None:
        self.after, self.steps = after, steps
        self.ramp = schedules.PolynomialDecay(first, steps, end_learning_rate=peak)

    def __call__(self, step: Any) -> Any:
        """The rate after `step` steps."""
        step = keras.ops.convert_to_tensor(step)
        later = self.after(keras.ops.maximum(step - self.steps, 0))
        return keras.ops.where(step < self.steps, self.ramp(step), later)


def _one_cycle(config: OptimConfig, steps: int) -> LearningRates:
    """Smith & Topin 2018: a line from lr / 25 up to lr, then a cosine down to lr / 250,000."""
    rise = max(round(RISE * steps), 1)
    fall = schedules.CosineDecay(config.lr, max(steps - rise - 1, 1), alpha=LAST)
    return Warmup(fall, rise, first=FIRST * config.lr, peak=config.lr)


SCHEDULES = {
    # lr * decay_rate ** (step / decay_steps), with `staircase` the exponent rounded down
    "exponential": Schedule(
        lambda config, steps: schedules.ExponentialDecay(
            config.lr, config.decay_steps, config.decay_rate, staircase=config.staircase
        )
    ),
    # lr * (1 + cos(pi * step / steps)) / 2, nearly 0 at the end (Loshchilov & Hutter 2017)
    "cosine": Schedule(
        lambda config, steps: schedules.CosineDecay(config.lr, steps), depends_on_length=True
    ),
    "one-cycle": Schedule(_one_cycle, depends_on_length=True),
    "constant": Schedule(lambda config, steps: schedules.ExponentialDecay(config.lr, 1, 1.0)),
}
