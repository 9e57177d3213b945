"""What a configuration offers is what the backbones are."""

from __future__ import annotations

from typing import get_args

import pytest

from kvgg_jax.core.config import MIN_IMAGE_SIZE, ModelConfig
from kvgg_jax.models.cost import describe
from kvgg_jax.models.registry import BACKBONES, frozen_stages


def test_the_backbones_are_those_that_a_configuration_names() -> None:
    """With the same smallest image, and one stage more than can be frozen by number."""
    assert tuple(BACKBONES) == get_args(ModelConfig.model_fields["arch"].annotation)
    assert min(one.min_size for one in BACKBONES.values()) == MIN_IMAGE_SIZE
    numbers = get_args(ModelConfig.model_fields["freeze"].annotation)[1:-1]
    assert {len(one.stages) for one in BACKBONES.values()} == {len(numbers) + 1}


@pytest.mark.parametrize("arch", BACKBONES)
def test_a_backbone_has_the_stages_stride_and_size_that_its_layers_show(
    arch: str,
) -> None:
    """Each layer is of one stage or of the head, in order; one pixel is left."""
    backbone = BACKBONES[arch]
    for size, side in ((backbone.min_size, 1), (7 * backbone.stride, 7)):
        layers = describe(ModelConfig(arch=arch), classes=3, image_size=size)
        body = [layer for layer in layers if not layer.is_head]
        stages = [s for one in body for s in backbone.stages if one.name.startswith(s)]
        assert (len(stages), tuple(dict.fromkeys(stages))) == (len(body), backbone.stages)
        assert body[-1].output[:2] == (side, side)
        assert [x // backbone.pooling for x in body[-2].output[:2]] == [side, side]


def test_frozen_stages_are_the_first_few_or_all() -> None:
    """Those that `--freeze` asks for, by what the names of their layers begin with."""
    frozen = {
        freeze: frozen_stages(ModelConfig(weights="x", freeze=freeze))
        for freeze in ("none", "2", "backbone")
    }
    stages = BACKBONES["vgg16"].stages
    assert frozen == {"none": (), "2": stages[:2], "backbone": stages}
