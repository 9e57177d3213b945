"""How fast each stage of the backbone learns, as a share of the learning rate.

Lower stages see edges and colors, which suit any photos; so they learn more slowly, and later
(Howard & Ruder 2018, "Universal Language Model Fine-tuning", sections 3.2 and 3.3).
"""

from __future__ import annotations

from collections.abc import Callable

import jax.numpy as jnp
from jax import Array

from kvgg_jax.core.config import RunConfig
from kvgg_jax.core.keras_gate import keras
from kvgg_jax.core.state import AnyArray
from kvgg_jax.models.registry import choose_backbone

Shares = Callable[[AnyArray], list[Array]]
"""Steps already taken -> a share in [0, 1] for each trainable variable."""


def make_shares(config: RunConfig, model: keras.Model, *, steps: int) -> Shares | None:
    """Of a run with so many `steps` per epoch; None where all variables learn at the whole rate.

    The head has the share 1, the top stage `stage_decay`, the one below its square, and so on. With
    `unfreeze_every` a stage has 0 until all stages above it have learnt for so many epochs.
    """
    decay, every = config.optim.stage_decay, config.optim.unfreeze_every
    if decay == 1 and every is None:
        return None
    backbone = choose_backbone(config.model)
    stages = [backbone.stage_of(variable.path) for variable in model.trainable_variables]
    depths = [0 if stage is None else backbone.depth - stage for stage in stages]  # 0: the head
    head_alone = 1 if config.solves_head else every or 0  # epochs
    starts = [steps * (head_alone + (depth - 1) * (every or 0)) for depth in depths]

    def shares(step: AnyArray) -> list[Array]:
        return [
            jnp.where((step >= start) | (depth == 0), jnp.float32(decay**depth), 0.0)
            for depth, start in zip(depths, starts, strict=True)
        ]

    return shares
