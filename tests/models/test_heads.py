"""Each head calls layers on what it takes of a backbone."""

from __future__ import annotations

import pytest

from kvgg_jax.core.tables import model
from kvgg_jax.core.tables.model import ModelConfig
from kvgg_jax.models.cost import describe
from kvgg_jax.models.heads import HEADS


def test_the_heads_are_those_that_a_configuration_names() -> None:
    """It names them without knowing what they are."""
    assert tuple(HEADS) == model.HEADS


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        ("full", {"fc1": (4096,), "fc2": (4096,), "predictions": (3,)}),
        ("slim", {"fc1": (1024,), "fc2": (512,), "predictions": (3,)}),
        ("gap", {"gap": (512,), "predictions": (3,)}),
        (
            "linear",
            {
                **{"pool1": (1024,), "pool2": (1024,), "pooled": (2048,)},
                **{"standardized": (2048,), "predictions": (3,)},
            },
        ),
        ("8", {"fc1": (8,), "predictions": (3,)}),
        ("256, 128", {"fc1": (256,), "fc2": (128,), "predictions": (3,)}),
    ],
)
def test_a_head_is_a_name_or_a_list_of_layer_sizes(head: str, expected: dict[str, object]) -> None:
    """Full is the paper's, slim the write-up's, gap averages over the image."""
    layers = describe(ModelConfig(head=head), classes=3, image_size=32)
    assert {layer.name: layer.output for layer in layers if layer.is_head} == expected
