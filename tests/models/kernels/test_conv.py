"""The 3x3 convolution: the stock one's numbers, at whichever algorithm `plan` picks.

Native code is off here.
"""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import pytest

from kvgg_jax.models.kernels.conv import Plan, conv3x3, plan
from kvgg_jax.models.kernels.native import convolution as native
from support.convolutions import draw, error, exact, results, stock


@pytest.fixture(autouse=True)
def no_native_code(monkeypatch):
    """`native/test_convolution.py` is about that."""
    monkeypatch.setattr(native, "fits", lambda *_: False)
    jax.clear_caches()  # of what was traced
    yield
    jax.clear_caches()


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
    for ours, reference in zip(results(conv3x3, x, w, g), exact(x, w, g), strict=True):
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


@pytest.mark.parametrize(("shape", "cout"), [case[:2] for case in CASES])
def test_64_bit_types_of_jax_leave_all_results_in_float32(shape, cout):
    """`jax_enable_x64` makes integers and new floats 64 bits wide; these are pinned."""
    arrays = draw(shape, cout)
    with jax.enable_x64(True):
        traced = jax.eval_shape(partial(results, conv3x3), *arrays)
    assert [one.dtype for one in traced] == [jnp.float32] * 3
