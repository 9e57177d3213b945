"""Heat maps against answers known in advance: hand-set weights, CAM's closed form, and Keras."""

from __future__ import annotations

import jax
import numpy as np
import pytest

from kvgg_jax import ModelConfig, vgg
from kvgg_jax.core.keras_gate import keras
from kvgg_jax.inference.gradients import make_grad_cam_step, make_gradient_step
from kvgg_jax.models.build import variable_names
from kvgg_jax.models.functional import EPSILON, make_embed_step, make_predict_step
from kvgg_jax.models.preprocess import normalize

pytestmark = pytest.mark.usefixtures("thin_network")

SIZE, SIDE = 64, 4  # of the image and of the last block's features
RED, GREEN = 0, 1


def hand_set(config: ModelConfig) -> keras.Model:
    """A VGG11 that finds colors: features 0 and 1 are the red and green of each 16 x 16 pixels'
    brightest one, and the logits of the classes RED and GREEN add these up.
    """
    model = vgg(config, classes=2, image_size=SIZE, seed=None)
    for layer in model.layers:
        if isinstance(layer, keras.layers.Conv2D):
            layer.kernel.assign(np.asarray(layer.kernel.value) + passing(layer.kernel.shape))
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.moving_variance.assign(np.full(layer.moving_variance.shape, 1 - EPSILON))
        if isinstance(layer, keras.layers.Dense):
            kernel = np.zeros(layer.kernel.shape, np.float32)
            spatial = kernel.shape[0] == 2 * 2 * 64  # the layer behind Flatten reads all places
            for k in (RED, GREEN):
                kernel[k :: 64 if spatial else kernel.shape[0], k] = 1
            layer.kernel.assign(kernel)
    return model


def passing(shape: tuple[int, ...]) -> np.ndarray:
    """A 3x3 kernel that hands on the first two channels as they are."""
    kernel = np.zeros(shape, np.float32)
    kernel[1, 1, [RED, GREEN], [RED, GREEN]] = 1
    return kernel


def weights(model: keras.Model) -> tuple[dict, dict]:
    params, state = (
        dict(zip(variable_names(v), [np.asarray(one.value) for one in v], strict=True))
        for v in (model.trainable_variables, model.non_trainable_variables)
    )
    return params, state


def red_here_green_there() -> np.ndarray:
    """A black image with a red spot in the upper left corner and a dimmer green one opposite."""
    image = np.zeros((1, SIZE, SIZE, 3), np.uint8)
    image[0, 4:10, 4:10, RED] = 255
    image[0, 54:60, 54:60, GREEN] = 51
    return image


@pytest.mark.parametrize(
    ("head", "batch_norm"),
    [("full", False), ("slim", False), ("8,4", False), ("gap", False), ("gap", True)],
)
def test_grad_cam_shows_what_alone_drives_the_class(head: str, batch_norm: bool) -> None:
    """Each color's map is its spot's brightness there and 0 elsewhere, times the mean gradient:
    4 pooled values of 16 places count 1 each, or with average pooling a quarter."""
    config = ModelConfig(arch="vgg11", head=head, batch_norm=batch_norm)
    model = hand_set(config)
    importance = 4 / 16 if head != "gap" else 1 / 16
    step = jax.jit(make_grad_cam_step(config))
    for target, place, brightness in ((RED, (0, 0), 1.0), (GREEN, (-1, -1), 0.2)):
        expected = np.zeros((SIDE, SIDE), np.float32)
        expected[place] = importance * brightness
        _, (heat,), _ = step(*weights(model), red_here_green_there(), np.int32(target))
        np.testing.assert_allclose(heat, expected, rtol=1e-5, atol=0)


def test_what_speaks_against_the_class_is_cut_off() -> None:
    """With the green features' weight in RED's logit at -1, green is not shown for RED."""
    config = ModelConfig(arch="vgg11", head="gap")
    model = hand_set(config)
    kernel = model.get_layer("predictions").kernel
    kernel.assign(np.asarray(kernel.value) - 2 * np.eye(64, 2)[:, ::-1])
    _, (heat,), _ = jax.jit(make_grad_cam_step(config))(
        *weights(model), red_here_green_there(), np.int32(RED)
    )
    assert np.count_nonzero(heat) == 1
    assert heat[0, 0] > 0


@pytest.mark.parametrize(("size", "side"), [(32, 2), (48, 3)])
def test_behind_average_pooling_grad_cam_is_cam(size: int, side: int) -> None:
    """The weighted sum of the features by the class's own weights (Zhou et al. 2016): each place
    of the h x w has a share of 1 / (h w); an odd row, which the pooling drops, has none."""
    config = ModelConfig(arch="vgg11", head="gap", dropout=0.5)
    model = vgg(config, classes=3, image_size=size)
    images = np.random.default_rng(0).integers(0, 256, (2, size, size, 3), np.uint8)
    last = keras.Model(model.input, model.get_layer("block5_conv1").output)
    features = np.asarray(last(images.astype(np.float32) / 255))
    kernel = np.asarray(model.get_layer("predictions").kernel.value)
    step = jax.jit(make_grad_cam_step(config))
    for target in range(3):
        cam = np.maximum(features @ kernel[:, target], 0) / side**2
        cam[:, side // 2 * 2 :] = cam[:, :, side // 2 * 2 :] = 0  # the pooling leaves it out
        _, heat, _ = step(*weights(model), images, np.int32(target))
        np.testing.assert_allclose(heat, cam, rtol=1e-4, atol=1e-6 * cam.max())


def test_one_pass_gives_the_probabilities_and_the_heat_of_each_image() -> None:
    """Those of the prediction, the embeddings, and the Grad-CAM of the class predicted for each
    image, as the Keras model cut in two before its last pooling gives it."""
    config = ModelConfig(arch="vgg11", head="16", batch_norm=True, preprocessing="caffe")
    model = vgg(config, classes=3, image_size=32, seed=1)
    params, state = weights(model)
    images = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), np.uint8)
    grad_cam = jax.jit(make_grad_cam_step(config))
    found, heat, embeddings = grad_cam(params, state, images)
    _, expected = jax.jit(make_predict_step(config))(params, state, images)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    vectors, _ = jax.jit(make_embed_step(config))(params, state, images)
    np.testing.assert_allclose(embeddings, vectors, atol=1e-6)
    for image, probabilities, own in zip(images, expected, heat, strict=True):
        target = int(np.argmax(probabilities))
        by_keras = grad_cam_by_keras(model, image[None], target)
        assert by_keras.max() > 0
        for map_ in (own, grad_cam(params, state, image[None], target)[1][0]):
            np.testing.assert_allclose(map_, by_keras, rtol=1e-3, atol=1e-4 * by_keras.max())


def grad_cam_by_keras(model: keras.Model, image: np.ndarray, target: int) -> np.ndarray:
    """[h, w], of one image."""
    last = model.get_layer("block5_pool").input
    below, above = keras.Model(model.input, last), keras.Model(last, model.output)
    features = below(normalize(image))
    slopes = np.asarray(jax.grad(lambda x: above(x)[0, target])(features))
    return np.maximum(np.asarray(features)[0] @ slopes.mean(axis=(1, 2))[0], 0)


def test_the_gradient_is_that_of_the_logit() -> None:
    """Without biases a network of ReLUs and max pooling is homogeneous of degree 1, so that the
    gradient times the image is the logit itself (Euler)."""
    config = ModelConfig(arch="vgg11", head="8")
    model = vgg(config, classes=3, image_size=32)
    images = np.random.default_rng(0).random((2, 32, 32, 3), np.float32)
    expected = np.asarray(model(images))[:, 2]
    step = jax.jit(make_gradient_step(config))
    logits, gradients = step(*weights(model), images, np.int32(2))
    np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-5)
    product = np.sum(np.asarray(gradients) * images, axis=(1, 2, 3))
    np.testing.assert_allclose(product, expected, rtol=1e-4, atol=1e-5)
