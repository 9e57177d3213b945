"""Adam under `ExponentialDecay`, both Keras' own."""

from __future__ import annotations

from kvgg_jax.config import OptimConfig
from kvgg_jax.keras_gate import keras


def build_schedule(config: OptimConfig) -> keras.optimizers.schedules.LearningRateSchedule:
    """Step (steps already taken) -> learning rate: lr * rate ** (step / decay_steps).

    With `staircase` the exponent is rounded down, so the rate holds for `decay_steps` steps.
    """
    return keras.optimizers.schedules.ExponentialDecay(
        config.lr, config.decay_steps, config.decay_rate, staircase=config.staircase
    )


def build_optimizer(config: OptimConfig, model: keras.Model) -> keras.Optimizer:
    """Adam (Kingma & Ba 2015; epsilon 1e-7 as in Keras), its slots built for `model`."""
    optimizer = keras.optimizers.Adam(build_schedule(config), name="adam")
    optimizer.build(model.trainable_variables)
    return optimizer
