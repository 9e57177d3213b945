"""Which backbones there are, by name, and what a configuration makes of one."""

from __future__ import annotations

from kvgg_jax.core.config import RunConfig
from kvgg_jax.core.tables.model import ModelConfig
from kvgg_jax.models.backbone import Backbone, Network
from kvgg_jax.models.heads import choose_head
from kvgg_jax.models.keras_backbone import KerasBackbone
from kvgg_jax.models.vgg import BLOCKS, Vgg

BACKBONES: dict[str, Vgg] = {name: Vgg(blocks) for name, blocks in BLOCKS.items()}
"""Those that are written here."""


def choose_backbone(config: ModelConfig) -> Backbone:
    """The backbone of a configuration; one that is not written here is built by Keras."""
    written = BACKBONES.get(config.arch)
    return written.widened(config.width) if written else KerasBackbone(config.arch)


def choose_size(config: RunConfig) -> int:
    """Side of the images, in pixels: as asked for, else what the backbone is made for."""
    return config.data.image_size or choose_backbone(config.model).native_size


def choose_network(config: ModelConfig) -> Network:
    """The backbone and the head of a configuration."""
    return Network(choose_backbone(config), choose_head(config))


def is_frozen(config: ModelConfig, name: str) -> bool:
    """Whether a layer, or one of its weights, is of a stage that is not trained."""
    if not config.freezes:
        return False
    stage = choose_backbone(config).stage_of(name)
    return stage is not None and (config.freeze == "backbone" or stage < int(config.freeze))
