"""What `describe` and `total` count, against Keras, the paper and Keras Applications."""

from __future__ import annotations

import itertools

import pytest

from kvgg_jax.core.tables.model import HEADS, ModelConfig
from kvgg_jax.models.cost import describe, total
from kvgg_jax.models.vgg import BLOCKS
from support.networks import names, parameters, shapes_only


@pytest.mark.parametrize(
    ("head", "in_all", "in_the_head"),
    [("full", 134_276_932, 119_562_244), ("slim", 40_932_676, 26_217_988)],
)
def test_parameter_counts_at_224_px_and_4_classes_are_those_of_the_paper(head, in_all, in_the_head):
    """13 convolutions hold 14,714,688; the heads 25088-4096-4096-4 and 25088-1024-512-4."""
    config = ModelConfig(head=head)
    model = shapes_only(config, classes=4, image_size=224)
    cost = total(describe(config, classes=4, image_size=224), image_size=224, batch_size=1)
    assert (parameters(model), cost.params, cost.head_params) == (in_all, in_all, in_the_head)
    assert in_all - in_the_head == 14_714_688


def test_the_write_up_counts_the_slim_head_without_the_biases_of_its_first_layer():
    """It gives 26,216,964: 1,024 less than the layers hold. 78.07 % are saved either way."""
    slim = 25088 * 1024 + 1024 + 1024 * 512 + 512 + 512 * 4 + 4
    layers = describe(ModelConfig(head="slim"), classes=4, image_size=224)
    assert sum(layer.params for layer in layers if layer.is_head) == slim == 26_217_988
    assert slim - 1024 == 26_216_964
    saved = [f"{1 - count / 119_562_244:.2%}" for count in (slim, 26_216_964)]
    assert saved == ["78.07%", "78.07%"]


@pytest.mark.parametrize("arch", BLOCKS)
def test_describe_agrees_with_keras_about_every_network(arch):
    """`kvgg summary` counts without building, so its figures must be those of the real layers."""
    for head, batch_norm in itertools.product([*HEADS, "8", "16,4"], [False, True]):
        config = ModelConfig(arch=arch, head=head, batch_norm=batch_norm)
        model = shapes_only(config, classes=3, image_size=64)
        found = {layer.name: layer for layer in describe(config, classes=3, image_size=64)}
        for layer in model.layers:
            if layer.name in found:
                assert found[layer.name].output == tuple(layer.output.shape[1:])
        layers = found.values()
        assert sum(layer.params - layer.statistics for layer in layers) == parameters(model)
        assert sum(layer.params for layer in layers) == model.count_params()
        helpers = {n for n in names(model) if n.endswith(("_bn", "_relu", "_mean", "_max"))}
        assert set(names(model)) - set(found) == {"image"} | helpers | (
            {"flatten"} if head not in ("gap", "linear") else set()
        )


def test_the_forward_pass_costs_the_published_15_gigaflops_of_multiply_adds():
    """VGG16 at 224 px, 1000 classes: 15.47 G multiply-adds, of which two FLOPs each."""
    layers = describe(ModelConfig(head="full"), classes=1000, image_size=224)
    cost = total(layers, image_size=224, batch_size=1)
    assert cost.params == 138_357_544  # as Keras Applications documents
    assert cost.forward_flops == 2 * 15_470_264_320


def test_a_network_of_keras_is_counted_by_its_own_layers():
    """As Keras counts its parameters; MobileNetV3 (Howard et al. 2019) has 56 M multiply-adds."""
    config = ModelConfig(arch="mobilenetv3-small", head="gap", dropout=0.5)
    layers = describe(config, classes=1000, image_size=224)
    assert sum(layer.params for layer in layers if not layer.is_head) == 939_120  # of Keras' docs
    cost = total(layers, image_size=224, batch_size=1)
    assert cost.head_params == 577_000
    assert 2 * 54e6 < cost.forward_flops < 2 * 58e6
    assert sum(layer.dropouts for layer in layers) == 1
