"""The network is configuration A, B, D or E of Simonyan & Zisserman 2015, table 1, in Keras."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from functools import partial

import jax
import numpy as np
import pytest

from kvgg_jax.core.config import HEADS, ModelConfig, OptimConfig
from kvgg_jax.core.errors import ConfigError
from kvgg_jax.core.keras_gate import keras
from kvgg_jax.models.build import head_of, vgg
from kvgg_jax.models.cost import describe, total
from kvgg_jax.models.vgg import BLOCKS
from kvgg_jax.training.optimizers import build_optimizer
from kvgg_jax.training.step import init_state

SMALL = {"classes": 3, "image_size": 32}
CONFIGURATION_D = [
    *("block1_conv1", "block1_conv2", "block1_pool"),
    *("block2_conv1", "block2_conv2", "block2_pool"),
    *("block3_conv1", "block3_conv2", "block3_conv3", "block3_pool"),
    *("block4_conv1", "block4_conv2", "block4_conv3", "block4_pool"),
    *("block5_conv1", "block5_conv2", "block5_conv3", "block5_pool"),
]


def shapes_only(config: ModelConfig, **size: int) -> keras.Model:
    """The network without values: its weights are declared, and never drawn."""
    return undrawn(lambda: vgg(config, **size))


def undrawn(build: Callable[[], keras.Model]) -> keras.Model:
    """What `build` returns, to look at only. Keras would draw its weights at the next chance."""
    with keras.StatelessScope(initialize_variables=False):
        model = build()
    keras.utils.clear_session(free_memory=False)  # forget that they are still to be drawn
    return model


def parameters(model: keras.Model) -> int:
    return sum(math.prod(variable.shape) for variable in model.trainable_variables)


def start(model: keras.Model) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    state = init_state(model, build_optimizer(OptimConfig(), model))
    return state.params, state.model_state


def names(model: keras.Model) -> list[str]:
    return [layer.name for layer in model.layers]


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
        told = {layer.name: layer for layer in describe(config, classes=3, image_size=64)}
        for layer in model.layers:
            if layer.name in told:
                assert told[layer.name].output == tuple(layer.output.shape[1:])
        layers = told.values()
        assert sum(layer.params - layer.statistics for layer in layers) == parameters(model)
        assert sum(layer.params for layer in layers) == model.count_params()
        helpers = {name for name in names(model) if name.endswith(("_bn", "_relu"))}
        assert set(names(model)) - set(told) == {"image"} | helpers | (
            {"flatten"} if head != "gap" else set()
        )


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


def test_the_forward_pass_costs_the_published_15_gigaflops_of_multiply_adds():
    """VGG16 at 224 px, 1000 classes: 15.47 G multiply-adds, of which two FLOPs each."""
    layers = describe(ModelConfig(head="full"), classes=1000, image_size=224)
    cost = total(layers, image_size=224, batch_size=1)
    assert cost.params == 138_357_544  # as Keras Applications documents
    assert cost.forward_flops == 2 * 15_470_264_320


@pytest.mark.usefixtures("thin")
def test_the_model_can_be_fitted_by_keras_as_any_other():
    """It is a plain Keras model that returns logits: one step of `fit` lowers its loss."""
    model = vgg(ModelConfig(arch="vgg11", head="8"), **SMALL)
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    images = np.random.default_rng(0).random((4, 32, 32, 3), np.float32)
    labels = np.array([0, 1, 2, 0])
    before = model.evaluate(images, labels, batch_size=4, verbose=0)
    model.fit(images, labels, batch_size=4, epochs=1, verbose=0)
    assert model.evaluate(images, labels, batch_size=4, verbose=0) < before


@pytest.mark.parametrize(
    ("head", "dropouts"),
    [("gap", ["gap_dropout"]), ("8", ["fc1_dropout"]), ("8,4", ["fc1_dropout", "fc2_dropout"])],
)
def test_dropout_and_batch_norm_are_there_when_asked_for(head, dropouts):
    """Dropout after each hidden layer of the head; batch norm between convolution and ReLU."""
    plain = shapes_only(ModelConfig(arch="vgg11", head=head), **SMALL)
    assert not [name for name in names(plain) if name.endswith(("dropout", "bn", "relu"))]
    config = ModelConfig(arch="vgg11", head=head, dropout=0.25, batch_norm=True)
    model = shapes_only(config, **SMALL)
    assert [name for name in names(model) if name.endswith("dropout")] == dropouts
    assert {model.get_layer(name).rate for name in dropouts} == {0.25}
    first = ["block1_conv1", "block1_conv1_bn", "block1_conv1_relu", "block1_pool"]
    assert names(model)[1:5] == first
    assert sum(name.endswith("_bn") for name in names(model)) == 8
    convolutions = [layer for layer in model.layers if layer.name.endswith(("conv1", "conv2"))]
    assert not any(layer.use_bias for layer in convolutions)


@pytest.mark.usefixtures("thin")
def test_weights_are_a_function_of_the_seed():
    """Bit for bit, whatever was built before; no two layers of a network share their values."""
    config = ModelConfig(arch="vgg11", head="8", dropout=0.5)
    first, again, other = (start(vgg(config, **SMALL, seed=seed)) for seed in (1, 1, 2))
    kernels = [name for name in first[0] if name.endswith("kernel")]
    assert len(kernels) == 7
    for part, same in zip(first, again, strict=True):
        assert part.keys() == same.keys()
        for name, values in part.items():
            np.testing.assert_array_equal(values, same[name])
    for name in kernels:
        assert (np.asarray(first[0][name]) != np.asarray(other[0][name])).mean() > 0.99
    corners = {float(np.ravel(first[0][name])[0]) for name in kernels}
    assert len(corners) == len(kernels)


@pytest.mark.usefixtures("thin")
def test_the_largest_seed_that_a_configuration_takes_makes_a_model():
    """Keras' own seeds have 32 bits; ours are drawn from 0 to 2**32 - 1."""
    config = ModelConfig(arch="vgg11", head="gap", dropout=0.5)
    assert vgg(config, **SMALL, seed=2**32 - 1).count_params() > 0


@pytest.mark.usefixtures("thin")
@pytest.mark.parametrize("init", ["he_uniform", "glorot_uniform"])
def test_weights_are_drawn_within_the_bounds_of_their_initializer(init):
    """He et al. 2015: sqrt(6 / fan_in); Glorot & Bengio 2010: sqrt(6 / (fan_in + fan_out))."""
    model = vgg(ModelConfig(arch="vgg11", head="gap", init=init), **SMALL)
    kernel = np.asarray(model.get_layer("block5_conv1").kernel)
    fan_in = fan_out = 9 * 64
    bound = math.sqrt(6 / (fan_in if init == "he_uniform" else fan_in + fan_out))
    assert 0.999 * bound < np.abs(kernel).max() <= np.float32(bound)


def test_an_image_too_small_for_five_poolings_is_a_config_error():
    """32 px leave one pixel."""
    with pytest.raises(ConfigError) as caught:
        vgg(classes=2, image_size=31)
    assert str(caught.value) == "image_size 31 is too small: vgg16 needs at least 32 pixels a side."


def test_a_classifier_of_one_class_is_a_config_error():
    """There is nothing to tell apart."""
    with pytest.raises(ConfigError) as caught:
        vgg(classes=1)
    assert str(caught.value) == "classes = 1: a classifier needs at least 2."


@pytest.mark.usefixtures("thin")
def test_bfloat16_computes_in_half_and_keeps_weights_and_logits_whole():
    """Adam's small steps would vanish in 8 bits of mantissa, and softmax wants float32."""
    config = ModelConfig(arch="vgg11", head="8", batch_norm=True, dropout=0.5)
    model = vgg(config, **SMALL, precision="bfloat16")
    dtypes = {variable.dtype for variable in model.trainable_variables}
    assert dtypes == {"float32"}
    assert {model.get_layer(n).compute_dtype for n in ("block1_conv1", "fc1")} == {"bfloat16"}
    images = np.random.default_rng(0).random((2, 32, 32, 3), np.float32)
    logits = jax.jit(model)(images)  # one program, not one an operation
    assert logits.dtype == "float32"
    whole = jax.jit(vgg(config, **SMALL))(images)
    difference = np.abs(np.asarray(logits) - np.asarray(whole)).max()
    assert 0 < difference < 0.1 * np.abs(whole).max()


@pytest.mark.usefixtures("thin")
def test_frozen_blocks_have_no_slots_and_their_batch_norm_keeps_still():
    """`--freeze 2` trains blocks 3 to 5 and the head."""
    config = ModelConfig(arch="vgg11", head="gap", batch_norm=True, weights="x", freeze="2")
    model = vgg(config, **SMALL)
    trained = {variable.path.split("_")[0] for variable in model.trainable_variables}
    assert trained == {"block3", "block4", "block5", "predictions/kernel", "predictions/bias"}
    slots = [variable.path for variable in build_optimizer(OptimConfig(), model).variables]
    assert not [name for name in slots if "block1" in name or "block2" in name]
    assert [name for name in slots if "block3" in name]
    images = np.random.default_rng(0).random((4, 32, 32, 3), np.float32)
    params, state = (
        [v.value for v in vs] for vs in (model.trainable_variables, model.non_trainable_variables)
    )
    step = jax.jit(partial(model.stateless_call, training=True))
    _, after = step(params, state, images)
    changed = {
        variable.path
        for variable, old, new in zip(model.non_trainable_variables, state, after, strict=True)
        if (np.asarray(old) != np.asarray(new)).any()
    }
    assert {name[:6] for name in changed} == {"block3", "block4", "block5"}


@pytest.mark.usefixtures("thin")
def test_the_head_of_a_network_shares_its_variables():
    """So that training it trains the network."""
    model = vgg(ModelConfig(arch="vgg11", head="8", dropout=0.5), **SMALL)
    head = head_of(model)
    for ours, theirs in (
        (head.trainable_variables, model.trainable_variables[-4:]),
        (head.non_trainable_variables, model.non_trainable_variables),
    ):
        assert [id(variable) for variable in ours] == [id(variable) for variable in theirs]
    assert head.input_shape == (None, 1, 1, 64)
