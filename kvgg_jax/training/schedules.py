"""Learning rates over the steps of a run, by the names that `optim.schedule` takes.

To add one, write a function that builds it, enter it in `SCHEDULES`, and add its name to
`OptimConfig.schedule`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from kvgg_jax.core.config import OptimConfig
from kvgg_jax.core.errors import ConfigError
from kvgg_jax.core.keras_gate import keras


class Schedule(NamedTuple):
    """How a schedule is built, and whether a run that is made longer would have had other rates."""

    build: Callable[[OptimConfig, int], keras.optimizers.schedules.LearningRateSchedule]
    """From the settings and the steps left after the warm-up."""
    depends_on_length: bool = False


def build_schedule(
    config: OptimConfig, *, steps: int | None = None
) -> keras.optimizers.schedules.LearningRateSchedule:
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
    return Warmup(after, config.lr, warmup) if warmup else after


class Warmup(keras.optimizers.schedules.LearningRateSchedule):
    """A line up to `peak` in `steps` steps, then the schedule `after`, from its beginning.

    Step 0 has the rate peak / (steps + 1), not 0: no step is for nothing.
    """

    def __init__(
        self, after: keras.optimizers.schedules.LearningRateSchedule, peak: float, steps: int
    ) -> None:
        self.after, self.steps = after, steps
        self.ramp = keras.optimizers.schedules.PolynomialDecay(
            peak / (steps + 1), steps, end_learning_rate=peak
        )

    def __call__(self, step: Any) -> Any:
        """The rate after `step` steps."""
        step = keras.ops.convert_to_tensor(step)
        later = self.after(keras.ops.maximum(step - self.steps, 0))
        return keras.ops.where(step < self.steps, self.ramp(step), later)


def _exponential(
    config: OptimConfig, steps: int
) -> keras.optimizers.schedules.LearningRateSchedule:
    """lr * decay_rate ** (step / decay_steps), with `staircase` the exponent rounded down."""
    return keras.optimizers.schedules.ExponentialDecay(
        config.lr, config.decay_steps, config.decay_rate, staircase=config.staircase
    )


def _cosine(config: OptimConfig, steps: int) -> keras.optimizers.schedules.LearningRateSchedule:
    """lr * (1 + cos(pi * step / steps)) / 2, nearly 0 at the end (Loshchilov & Hutter 2017)."""
    return keras.optimizers.schedules.CosineDecay(config.lr, steps)


def _constant(config: OptimConfig, steps: int) -> keras.optimizers.schedules.LearningRateSchedule:
    return keras.optimizers.schedules.ExponentialDecay(config.lr, 1, 1.0)


SCHEDULES = {
    "exponential": Schedule(_exponential),
    "cosine": Schedule(_cosine, depends_on_length=True),
    "constant": Schedule(_constant),
}
