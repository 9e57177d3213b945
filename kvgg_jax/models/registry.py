"""Which backbones there are, by name, and what a configuration makes of one."""

from __future__ import annotations

from kvgg_jax.core.config import ModelConfig
from kvgg_jax.models.backbone import Backbone
from kvgg_jax.models.vgg import BLOCKS, Vgg

BACKBONES: dict[str, Backbone] = {name: Vgg(blocks) for name, blocks in BLOCKS.items()}
PREPROCESSING = "preprocessing"  # name of the layer before the backbone that prepares images


def frozen_stages(config: ModelConfig) -> tuple[str, ...]:
    """What the names of frozen layers begin with."""
    stages = BACKBONES[config.arch].stages
    return stages if config.freeze == "blocks" else stages[: config.frozen_blocks]
