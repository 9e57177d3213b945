"""Adam, by Keras, under a schedule of the learning rate."""

from __future__ import annotations

from kvgg_jax.core.config import OptimConfig
from kvgg_jax.core.keras_gate import keras
from kvgg_jax.training.schedules import build_schedule


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
