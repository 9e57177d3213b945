"""The networks are configurations A, B, D and E of Simonyan & Zisserman 2015, table 1."""

from __future__ import annotations

from kvgg_jax.core.keras_gate import keras
from kvgg_jax.core.tables.model import ModelConfig
from kvgg_jax.models.vgg import BLOCKS
from support.networks import names, shapes_only, undrawn

CONFIGURATION_D = [
    *("block1_conv1", "block1_conv2", "block1_pool"),
    *("block2_conv1", "block2_conv2", "block2_pool"),
    *("block3_conv1", "block3_conv2", "block3_conv3", "block3_pool"),
    *("block4_conv1", "block4_conv2", "block4_conv3", "block4_pool"),
    *("block5_conv1", "block5_conv2", "block5_conv3", "block5_pool"),
]


def test_vgg16_has_the_layers_of_configuration_d_in_order():
    """Named as in Keras Applications, so that its weights can be matched by name."""
    model = shapes_only(ModelConfig(head="full"), classes=4, image_size=224)
    assert names(model) == ["image", *CONFIGURATION_D, "flatten", "fc1", "fc2", "predictions"]
    blocks = [tuple(model.get_layer(f"block{b}_pool").output.shape[1:]) for b in range(1, 6)]
    assert blocks == [(112, 112, 64), (56, 56, 128), (28, 28, 256), (14, 14, 512), (7, 7, 512)]
    assert model.output.shape == (None, 4)


def test_the_convolutions_agree_with_keras_applications():
    """The same names, the same weight shapes, in the same order."""
    theirs = undrawn(
        lambda: keras.applications.VGG16(
            weights=None, include_top=False, input_shape=(64, 64, 3), name="vgg16"
        )
    )
    ours = shapes_only(ModelConfig(), classes=4, image_size=64)
    found = [(v.path, tuple(v.shape)) for v in ours.trainable_variables]
    assert found[:26] == [(v.path, tuple(v.shape)) for v in theirs.trainable_variables]
    assert names(ours)[1:19] == names(theirs)[1:] == CONFIGURATION_D


def test_each_network_has_as_many_weight_layers_as_its_name_says():
    """With the three dense layers of the full head: 11, 13, 16 and 19."""
    depths = {arch: sum(map(len, blocks)) + 3 for arch, blocks in BLOCKS.items()}
    assert depths == {"vgg11": 11, "vgg13": 13, "vgg16": 16, "vgg19": 19}


def test_width_is_a_share_of_the_channels_of_each_convolution():
    """Half of them, and those of the head's layers stay."""
    half = shapes_only(ModelConfig(width=0.5), classes=4, image_size=32)
    whole = shapes_only(ModelConfig(), classes=4, image_size=32)
    channels = [
        (layer.filters, other.filters)
        for layer, other in zip(half.layers, whole.layers, strict=True)
        if layer.name.endswith(("conv1", "conv2", "conv3"))
    ]
    assert len(channels) == 13
    assert all(2 * thin == full for thin, full in channels)
    assert half.get_layer("fc1").units == whole.get_layer("fc1").units == 1024
