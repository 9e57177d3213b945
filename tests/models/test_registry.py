"""What a configuration offers is what the backbones are."""

from __future__ import annotations

from typing import get_args

import pytest

from kvgg_jax.core.tables.architectures import VGG
from kvgg_jax.core.tables.data import MIN_IMAGE_SIZE
from kvgg_jax.core.tables.model import ModelConfig
from kvgg_jax.models.cost import describe
from kvgg_jax.models.registry import BACKBONES, choose_backbone, is_frozen


def test_the_backbones_are_those_that_a_configuration_names() -> None:
    """The VGGs have the same smallest image, and one stage more than can be frozen by number."""
    assert tuple(BACKBONES) == VGG
    assert {choose_backbone(ModelConfig(arch=name)).min_size for name in VGG} == {MIN_IMAGE_SIZE}
    numbers = get_args(ModelConfig.model_fields["freeze"].annotation)[1:-1]
    assert {choose_backbone(ModelConfig(arch=name)).depth for name in VGG} == {len(numbers) + 1}


@pytest.mark.parametrize("arch", VGG)
def test_a_backbone_has_the_stages_stride_and_size_that_its_layers_show(
    arch: str,
) -> None:
    """Each layer is of one stage or of the head, in order; one pixel is left."""
    backbone = choose_backbone(ModelConfig(arch=arch))
    assert backbone.stride is not None
    for size, side in ((backbone.min_size, 1), (7 * backbone.stride, 7)):
        layers = describe(ModelConfig(arch=arch), classes=3, image_size=size)
        body = [layer for layer in layers if not layer.is_head]
        stages = [backbone.stage_of(one.name) for one in body]
        assert list(dict.fromkeys(stages)) == list(range(backbone.depth))
        assert {backbone.stage_of(one.name) for one in layers if one.is_head} == {None}
        assert body[-1].output[:2] == (side, side)
        assert [x // backbone.pooling for x in body[-2].output[:2]] == [side, side]


def test_frozen_stages_are_the_first_few_or_all() -> None:
    """Those that `--freeze` asks for; never the head."""
    layers = describe(ModelConfig(), classes=3, image_size=32)
    frozen = {
        freeze: sum(is_frozen(ModelConfig(weights="x", freeze=freeze), one.name) for one in layers)
        for freeze in ("none", "2", "backbone")
    }
    assert frozen == {"none": 0, "2": 6, "backbone": 18}
    assert is_frozen(ModelConfig(weights="x", freeze="2"), "block2_conv1/kernel")


def test_a_backbone_of_keras_knows_its_stages_by_the_names_of_layers_and_weights() -> None:
    """They are the stages of images of any size."""
    backbone = choose_backbone(ModelConfig(arch="mobilenetv3-small"))
    assert (backbone.depth, backbone.min_size, backbone.stride) == (5, 32, None)
    names = ("conv/kernel", "conv_bn", "expanded_conv_project", "conv_1", "predictions", "image")
    assert [backbone.stage_of(name) for name in names] == [0, 0, 1, 4, None, None]
