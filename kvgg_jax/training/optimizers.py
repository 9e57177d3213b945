"""Adam under a learning rate that follows a schedule, all of it Keras' own."""

from __future__ import annotations

from typing import Any

from kvgg_jax.core.config import OptimConfig
from kvgg_jax.core.errors import ConfigError
from kvgg_jax.core.keras_gate import keras


def build_schedule(
    config: OptimConfig, *, steps: int | None = None
) -> keras.optimizers.schedules.LearningRateSchedule:
    """Step (steps already taken) -> learning rate, for a run of `steps` in all.

    `exponential` is lr * rate ** (step / decay_steps), with `staircase` the exponent rounded down;
    `cosine` is lr * (1 + cos(pi * step / steps)) / 2, nearly 0 at the last step (Loshchilov &
    Hutter 2017); `constant` is lr. A warm-up comes before and counts as steps of its own.
    Raises ConfigError for a cosine without `steps`, or with no more than those of the warm-up.
    """
    schedules, lr, warmup = keras.optimizers.schedules, config.lr, config.warmup_steps
    if config.schedule == "cosine":
        if steps is None or steps <= warmup:
            raise ConfigError(
                f"A cosine of {steps} steps, a warm-up of {warmup}: raise `train.epochs`."
            )
        after = schedules.CosineDecay(lr, steps - warmup)
    elif config.schedule == "constant":
        after = schedules.ExponentialDecay(lr, 1, 1.0)
    else:
        after = schedules.ExponentialDecay(
            lr, config.decay_steps, config.decay_rate, staircase=config.staircase
        )
    return Warmup(after, lr, warmup) if warmup else after


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


def build_optimizer(
    config: OptimConfig, model: keras.Model, *, steps: int | None = None
) -> keras.Optimizer:
    """Adam (Kingma & Ba 2015; epsilon 1e-7 as in Keras), its slots built for `model`.

    With a weight decay it is AdamW (Loshchilov & Hutter 2019): each step also takes
    rate * weight_decay of a kernel away; biases and batch norm's weights are left alone.
    """
    schedule = build_schedule(config, steps=steps)
    if config.weight_decay:
        decay = config.weight_decay
        optimizer = keras.optimizers.AdamW(schedule, weight_decay=decay, name="adam")
        optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    else:
        optimizer = keras.optimizers.Adam(schedule, name="adam")
    optimizer.build(model.trainable_variables)
    return optimizer
