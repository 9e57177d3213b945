"""Which backbones there are, by name, and what a configuration makes of one."""

from __future__ import annotations

from kvgg_jax.core.config import ModelConfig
from kvgg_jax.models.backbone import Backbone, Network
from kvgg_jax.models.heads import choose_head
from kvgg_jax.models.vgg import BLOCKS, Vgg

BACKBONES: dict[str, Backbone] = {name: Vgg(blocks) for name, blocks in BLOCKS.items()}
PREPROCESSING = "preprocessing"  # name of the layer before the backbone that prepares images


def choose_network(config: ModelConfig) -> Network:
    """The backbone and the head of a configuration."""
    return Network(BACKBONES[config.arch], choose_head(config))


def frozen_stages(config: ModelConfig) -> tuple[str, ...]:
    """What the names of frozen layers begin with."""
    stages = BACKBONES[config.arch].stages
    if config.freeze in ("none", "backbone"):
        return stages if config.freeze == "backbone" else ()
    return stages[: int(config.freeze)]
