"""The 3x3 convolution: the stock one's numbers, at whichever algorithm `plan` picks."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kvgg_jax.core.keras_gate import keras
from kvgg_jax.models.kernels import winograd
from kvgg_jax.models.kernels.conv import Plan, conv3x3, plan
from kvgg_jax.models.layers import Conv2D


def stock(x, w):
    return jax.lax.conv_general_dilated(
        x, w, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


@partial(jax.jit, static_argnums=0)
def results(convolution, x, w, g):
    """Forward, input gradient and weight gradient."""
    y, pullback = jax.vjp(convolution, x, w)
    return y, *pullback(g)


def draw(shape, cout, *, dtype="float32"):
    """Images as a ReLU leaves them, weights as He draws them, and gradients of both signs."""
    rng = np.random.default_rng(0)
    cin = shape[-1]
    x = np.maximum(rng.normal(size=shape), 0)
    w = rng.normal(size=(3, 3, cin, cout)) * (2 / (9 * cin)) ** 0.5
    g = rng.normal(size=(*shape[:3], cout))
    return [jnp.asarray(a, dtype) for a in (x, w, g)]


def error(a, b):
    """The norm of the difference, relative to the norm of `b`."""
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    return np.linalg.norm(a - b) / np.linalg.norm(b)


CASES = [
    ((3, 1, 1, 64), 5, Plan("taps", "stock")),
    ((3, 2, 2, 64), 64, Plan("taps", "stock")),
    ((2, 1, 2, 3), 5, Plan("taps", "stock")),
    ((2, 3, 3, 64), 64, Plan("stock", "stock")),
    ((2, 5, 5, 3), 64, Plan("stock", "stock")),
    ((2, 6, 6, 64), 5, Plan("stock", "stock")),
    ((2, 7, 7, 5), 3, Plan("stock", "stock")),
    ((3, 14, 14, 3), 64, Plan("stock", "patches")),
    ((2, 33, 28, 5), 64, Plan("stock", "patches")),
    ((2, 28, 28, 64), 3, Plan("stock", "stock")),
    ((13, 13, 17, 64), 9, Plan("stock", "winograd")),  # groups of images that do not fill up
    ((2, 33, 28, 64), 33, Plan("stock", "winograd")),
    ((1, 96, 48, 16), 32, Plan("stock", "winograd")),  # an image of several bands
    ((23, 12, 12, 128), 256, Plan("winograd", "winograd")),
    ((1, 61, 62, 256), 128, Plan("winograd", "winograd")),
]


@pytest.mark.parametrize(("shape", "cout", "chosen"), CASES)
def test_every_algorithm_gives_the_numbers_of_the_stock_convolution(shape, cout, chosen):
    """Result, input gradient and weight gradient differ by less than 2e-5 of their norm."""
    assert plan(shape, cout) == chosen
    x, w, g = draw(shape, cout)
    for ours, theirs in zip(results(conv3x3, x, w, g), results(stock, x, w, g), strict=True):
        assert ours.shape == theirs.shape
        assert error(ours, theirs) < 2e-5


@pytest.mark.parametrize("shape", [(2, 2, 2, 128), (2, 28, 28, 3), (23, 12, 12, 128)])
def test_the_error_against_float64_stays_below_a_hundred_thousandth(shape):
    """Winograd's F(4x4, 3x3) loses about a digit to the direct form, and stays under 1e-5."""
    x, w, g = draw(shape, 256)
    x64, w64, g64 = (np.asarray(a, np.float64) for a in (x, w, g))
    padded = np.pad(x64, ((0, 0), (1, 1), (1, 1), (0, 0)))
    beyond = np.pad(g64, ((0, 0), (1, 1), (1, 1), (0, 0)))
    _, high, wide, _ = shape
    exact = [np.zeros(a.shape) for a in (g, x, w)]
    for i, j in np.ndindex(3, 3):
        near = padded[:, i : i + high, j : j + wide]
        exact[0] += near @ w64[i, j]
        exact[1] += beyond[:, 2 - i : 2 - i + high, 2 - j : 2 - j + wide] @ w64[i, j].T
        exact[2][i, j] = np.tensordot(near, g64, ((0, 1, 2), (0, 1, 2)))
    for ours, reference in zip(results(conv3x3, x, w, g), exact, strict=True):
        assert error(ours, reference) < 1e-5


@pytest.mark.parametrize(
    ("shape", "cout"),
    [((3, 2, 2, 64), 64), ((3, 14, 14, 3), 64), ((23, 12, 12, 128), 256)],
)
def test_bfloat16_in_gives_bfloat16_out_within_its_rounding(shape, cout):
    """The transforms run in float32, so the results agree to bfloat16's two to three digits."""
    x, w, g = draw(shape, cout, dtype="bfloat16")
    for ours, theirs in zip(results(conv3x3, x, w, g), results(stock, x, w, g), strict=True):
        assert ours.dtype == jnp.bfloat16
        assert error(ours, theirs) < 2e-2


def test_the_plan_of_vgg16_follows_the_measured_table():
    """For 48 px in batches of 32 and 224 px in batches of 8, block by block."""
    small = [(48, 3, 64), (48, 64, 64), (24, 128, 128), (12, 256, 256), (6, 512, 512)]
    assert [plan((32, s, s, cin), cout) for s, cin, cout in small] == [
        Plan("stock", "patches"),
        Plan("stock", "winograd"),
        Plan("winograd", "winograd"),
        Plan("winograd", "winograd"),
        Plan("stock", "stock"),
    ]
    large = [(224, 64, 64), (112, 64, 128), (56, 128, 256), (28, 256, 512), (14, 512, 512)]
    assert [plan((8, s, s, cin), cout) for s, cin, cout in large] == [
        Plan("stock", "winograd"),
        Plan("stock", "winograd"),
        Plan("winograd", "winograd"),
        Plan("winograd", "winograd"),
        Plan("winograd", "winograd"),
    ]


@pytest.mark.parametrize("batch", [1, 2, 7, 8, 31, 32])
@pytest.mark.parametrize("size", [(12, 12), (14, 14), (13, 57), (224, 224), (12, 2000)])
def test_bands_cover_every_pixel_and_hold_few_tiles(batch, size):
    """No row or image is left out, none of the groups or bands is empty, and none is too large."""
    bands = winograd._Bands.of((batch, *size, 64))
    images, rows = bands.groups * bands.images, 4 * bands.rows * bands.bands
    assert batch <= images < batch + bands.images
    assert size[0] <= rows < size[0] + 4 * bands.rows
    assert bands.images * bands.rows * bands.columns < 2 * max(200, bands.columns)


@pytest.mark.parametrize("platform", ["cuda", "tpu"])
def test_other_platforms_run_the_stock_convolution(platform):
    """Lowered for a GPU or TPU: one convolution forwards, two backwards, no loop, no product."""
    x, w, g = draw((23, 12, 12, 128), 256)

    def backward(x, w, g):
        return jax.vjp(conv3x3, x, w)[1](g)

    for function, convolutions in ((lambda x, w, _: conv3x3(x, w), 1), (backward, 2)):
        lowered = jax.jit(function).trace(x, w, g).lower(lowering_platforms=(platform,))
        text = lowered.as_text()
        assert text.count("stablehlo.convolution") == convolutions
        assert "stablehlo.while" not in text
        assert "stablehlo.dot" not in text


def test_a_batch_of_open_size_can_be_exported():
    """`jax.export` with a symbolic batch, for CPU and GPU in one program."""
    (batch,) = jax.export.symbolic_shape("batch")
    w = draw((1, 16, 16, 128), 256)[1]
    for side in (2, 16):
        images = jax.ShapeDtypeStruct((batch, side, side, 128), jnp.float32)
        program = jax.export.export(jax.jit(conv3x3), platforms=("cpu", "cuda"))(images, w)
        x = draw((3, side, side, 128), 256)[0]
        assert error(program.call(x, w), stock(x, w)) < 1e-5


def tiny_vgg(layer):
    """Two blocks; 16 px, so that patches, Winograd, stock and taps all take part."""
    keras.utils.set_random_seed(0)
    x = inputs = keras.Input((16, 16, 3))
    for number, (channels, pool) in enumerate(((16, 1), (16, 4), (16, 2), (16, 2)), 1):
        x = layer(channels, 3, padding="same", activation="relu", name=f"conv{number}")(x)
        x = keras.layers.MaxPooling2D(pool, name=f"pool{number}")(x)
    x = keras.layers.Flatten(name="flatten")(x)
    return keras.Model(inputs, keras.layers.Dense(4, name="predictions")(x))


def loss_and_gradients(model, x, y):
    def loss(weights):
        logits, _ = model.stateless_call(weights, [], x, training=True)
        return -jnp.mean(jax.nn.log_softmax(logits)[jnp.arange(len(y)), y])

    return jax.jit(jax.value_and_grad(loss))([v.value for v in model.trainable_variables])


def test_a_small_vgg_has_the_stock_layers_loss_and_gradients():
    """One training step's loss and every gradient agree to 1e-4."""
    x = np.random.default_rng(0).random((6, 16, 16, 3), np.float32)
    y = np.arange(6) % 4
    theirs, their_gradients = loss_and_gradients(tiny_vgg(keras.layers.Conv2D), x, y)
    ours, our_gradients = loss_and_gradients(tiny_vgg(Conv2D), x, y)
    np.testing.assert_allclose(ours, theirs, rtol=1e-5)
    for mine, other in zip(our_gradients, their_gradients, strict=True):
        assert error(mine, other) < 1e-4


# Keras 3.15 saves through the `__array__` that numpy 2 deprecates, and warns at every load.
@pytest.mark.filterwarnings("ignore:Skipping nested container:UserWarning")
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_the_layer_has_the_configuration_and_the_weights_of_conv2d(tmp_path):
    """A saved model loads again, and its weights load into plain Conv2D layers, and back."""
    fast, plain = tiny_vgg(Conv2D), tiny_vgg(keras.layers.Conv2D)
    assert fast.layers[1].get_config() == plain.layers[1].get_config()
    assert [v.path for v in fast.weights] == [v.path for v in plain.weights]
    x = np.random.default_rng(0).random((2, 16, 16, 3), np.float32)
    fast.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert type(again.layers[1]) is Conv2D
    np.testing.assert_array_equal(again(x), fast(x))
    fast.save_weights(tmp_path / "m.weights.h5")
    plain.load_weights(tmp_path / "m.weights.h5")
    assert error(plain(x), fast(x)) < 1e-5


def test_fit_lowers_the_loss_in_mixed_precision():
    """`model.fit` compiles and learns in bfloat16, and weights stay float32."""
    policy = "mixed_bfloat16"
    keras.utils.set_random_seed(0)
    inputs = keras.Input((12, 12, 3))
    x = Conv2D(16, 3, padding="same", activation="relu", dtype=policy)(inputs)
    x = Conv2D(16, 3, padding="same", activation="relu", dtype=policy)(x)
    x = keras.layers.GlobalAveragePooling2D(dtype=policy)(x)
    model = keras.Model(inputs, keras.layers.Dense(2, dtype="float32")(x))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(1e-2), loss)
    y = np.arange(16) % 2
    images = (
        np.random.default_rng(0).random((16, 12, 12, 3), np.float32)
        * (0.2 + y)[:, None, None, None]
    )
    losses = model.fit(images, y, epochs=8, batch_size=8, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
    assert {v.dtype for v in model.trainable_variables} == {"float32"}


@pytest.mark.parametrize(
    "arguments",
    [{"strides": 2, "padding": "same"}, {"padding": "valid"}, {"dilation_rate": 2}, {"groups": 2}],
)
def test_a_layer_of_another_geometry_is_the_stock_layer(arguments):
    """Strides, dilation, groups or no padding: Conv2D's own operation, to the last bit."""
    x = np.random.default_rng(0).random((2, 14, 14, 4), np.float32)
    fast, plain = Conv2D(6, 3, **arguments), keras.layers.Conv2D(6, 3, **arguments)
    fast.build(x.shape)
    plain.build(x.shape)
    for mine, other in zip(fast.weights, plain.weights, strict=True):
        other.assign(mine.value)
    np.testing.assert_array_equal(fast(x), plain(x))
