"""Which backbones there are, by name, and what a configuration makes of one."""

from __future__ import annotations

from kvgg_jax.core.architectures import APPLICATIONS
from kvgg_jax.core.config import ModelConfig
from kvgg_jax.models.backbone import Backbone, Network
from kvgg_jax.models.heads import choose_head
from kvgg_jax.models.keras_backbone import KerasBackbone
from kvgg_jax.models.vgg import BLOCKS, Vgg

BACKBONES: dict[str, Backbone] = {
    **{name: Vgg(blocks) for name, blocks in BLOCKS.items()},
    **{name: KerasBackbone(name) for name in APPLICATIONS},
}


def choose_network(config: ModelConfig) -> Network:
    """The backbone and the head of a configuration."""
    return Network(BACKBONES[config.arch], choose_head(config))


def is_frozen(config: ModelConfig, name: str) -> bool:
    """Whether a layer, or one of its weights, is of a stage that is not trained."""
    if not config.freezes:
        return False
    stage = BACKBONES[config.arch].stage_of(name)
    return stage is not None and (config.freeze == "backbone" or stage < int(config.freeze))
