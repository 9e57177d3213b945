"""Networks of Keras Applications as backbones."""

from __future__ import annotations

import sys

import jax
import numpy as np
import pytest

from kvgg_jax.core.errors import ConfigError
from kvgg_jax.core.keras_gate import keras
from kvgg_jax.models.from_keras.applications import (
    Application,
    RemoteFile,
    imagenet_file,
    native_size,
    smallest_size,
)
from kvgg_jax.models.from_keras.networks import build

NAME = "mobilenetv3-small"
COLORS = np.random.default_rng(0).integers(0, 256, (1, 4, 4, 3)).astype(np.float32)
APPLICATIONS = "https://storage.googleapis.com/tensorflow/keras-applications"


def backbone(name: str = NAME, *, seed: int | None = 1, precision: str = "float32") -> keras.Model:
    image = keras.Input((32, 32, 3))
    stages = build(name, image, seed=seed, precision=precision)
    return keras.Model(image, [stage.output for stage in stages])


def test_it_takes_images_from_0_to_1_and_gives_the_maps_of_each_stage():
    """Halved from stage to stage."""
    model = backbone()
    maps = jax.jit(model)(np.random.default_rng(0).random((2, 32, 32, 3), np.float32))
    assert [one.shape[1:] for one in maps] == [
        (16, 16, 16), (8, 8, 72), (4, 4, 96), (2, 2, 288), (1, 1, 576),
    ]  # fmt: skip
    assert all(np.isfinite(one).all() and np.ptp(one) > 0 for one in maps)


def test_weights_and_names_are_a_function_of_the_seed():
    """In each build of a process."""
    first, again, other = (
        {variable.path: np.asarray(variable.value) for variable in backbone(seed=seed).variables}
        for seed in (1, 1, 2)
    )
    assert list(first) == list(again)
    assert all((values == again[name]).all() for name, values in first.items())
    kernels = [name for name in first if name.endswith("kernel")]
    assert all((first[name] != other[name]).any() for name in kernels)


def test_half_precision_leaves_the_weights_whole():
    """And the preparation of images."""
    model = backbone(precision="bfloat16")
    assert {variable.dtype for variable in model.trainable_variables} == {"float32"}
    assert model.get_layer("preprocessing").compute_dtype == "float32"
    assert model.outputs[-1].dtype == "bfloat16"


def test_too_small_an_image_is_a_config_error():
    """The size is the one that Keras names."""
    with pytest.raises(ConfigError) as caught:
        build("xception", keras.Input((64, 64, 3)), seed=1)
    assert str(caught.value) == (
        "image_size 64 is too small: xception needs at least 71 pixels a side."
    )
    assert [smallest_size(name) for name in (NAME, "inceptionv3")] == [32, 75]


def test_the_size_that_keras_trained_on_is_known():
    """Of a network for images of any size too."""
    assert [native_size(name) for name in (NAME, "efficientnetv2-b1")] == [224, 240]


@pytest.mark.parametrize(
    ("name", "module"),
    [
        (NAME, "mobilenet_v3"),
        ("mobilenetv2", "mobilenet_v2"),
        ("densenet121", "densenet"),
        ("resnet50", "resnet"),
    ],
)
def test_images_are_prepared_as_keras_prepares_them(name, module):
    """From 0 to 255, from -1 to 1, standardized, and blue first."""
    image = keras.Input((4, 4, 3))
    ours = keras.Model(image, Application(name).prepare(image, standardize=False))(COLORS / 255)
    theirs = getattr(keras.applications, module).preprocess_input(COLORS.copy())
    np.testing.assert_allclose(np.asarray(ours), theirs, rtol=1e-5, atol=1e-4)


def test_efficientnet_standardizes_as_with_the_weights_of_keras():
    """Which do it by two layers, one of them added with the weights (tensorflow#49930)."""
    image = keras.Input((4, 4, 3))
    prepared = keras.Model(image, Application("efficientnet-b0").prepare(image, standardize=True))
    inside = np.asarray(prepared(COLORS / 255)) / 255  # as the network does first
    theirs = keras.applications.imagenet_utils.preprocess_input(COLORS.copy(), mode="torch")
    np.testing.assert_allclose(inside, theirs, rtol=1e-5, atol=1e-5)
    model = backbone("efficientnet-b0", seed=None)
    assert not [layer for layer in model.layers if layer.name.startswith("normalization")]
    assert model.get_layer("preprocessing").scale[0] > 1000


def test_the_weight_file_is_the_one_that_keras_would_fetch():
    """Nothing is fetched, and Keras is left as it was."""
    files = sys.modules["keras.src.utils.file_utils"]
    fetch = files.get_file
    name = "weights_mobilenet_v3_small_224_1.0_float_no_top_v2.h5"
    assert imagenet_file(NAME) == RemoteFile(
        f"{APPLICATIONS}/mobilenet_v3/{name}", "d3e8ec802a04aa4fc771ee12a9a9b836"
    )
    assert files.get_file is fetch
