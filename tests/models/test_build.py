"""Networks of Keras layers: their weights, precision, frozen parts and head."""

from __future__ import annotations

import math
from functools import partial

import jax
import numpy as np
import pytest

from kvgg_jax.core.errors import ConfigError
from kvgg_jax.core.keras_gate import keras
from kvgg_jax.core.tables.model import ModelConfig
from kvgg_jax.core.tables.optim import OptimConfig
from kvgg_jax.models.build import build, vgg
from kvgg_jax.training.optimizers import build_optimizer
from kvgg_jax.training.step import init_state
from support.networks import names, shapes_only

SMALL = {"classes": 3, "image_size": 32}


def start(model: keras.Model) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    state = init_state(model, build_optimizer(OptimConfig(), model))
    return state.params, state.model_state


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
    config = ModelConfig(arch="vgg11", head="8", dropout=0.5)
    built = build(config, **SMALL, precision="float32", seed=42)
    model, head = built.model, built.head
    for ours, theirs in (
        (head.trainable_variables, model.trainable_variables[-4:]),
        (head.non_trainable_variables, model.non_trainable_variables),
    ):
        assert [id(variable) for variable in ours] == [id(variable) for variable in theirs]
    assert head.input_shape == (None, 1, 1, 64)


@pytest.mark.usefixtures("thin")
def test_64_bit_types_of_jax_leave_weights_and_results_in_float32():
    """`jax_enable_x64` of a host program; only the seed of dropout is a whole number."""
    config = ModelConfig(
        arch="vgg11", head="8", batch_norm=True, dropout=0.5, preprocessing="caffe"
    )
    with jax.enable_x64(True):
        model = vgg(config, **SMALL, seed=None)
        parts = model.trainable_variables, model.non_trainable_variables
        values = [[variable.value for variable in part] for part in parts]
        images = np.zeros((2, 32, 32, 3), np.float32)
        call = partial(model.stateless_call, training=True)
        traced = jax.tree.leaves([values, jax.eval_shape(call, *values, images)])
    assert {str(one.dtype) for one in traced} == {"float32", "uint32"}
