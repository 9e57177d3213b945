"""Convolutions by taps: the stock ones' numbers, for every stride and padding."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kvgg_jax.models.kernels.taps import convolve, convolve_depthwise
from support.convolutions import error, stock


@partial(jax.jit, static_argnums=0)
def results(convolution, x, w, seed):
    """Forward and both gradients."""
    y, pullback = jax.vjp(convolution, x, w)
    return y, *pullback(jax.random.normal(seed, y.shape).astype(y.dtype))


def compare(ours, theirs, x, w, *, below=1e-5):
    seed = jax.random.key(0)
    pairs = zip(results(ours, x, w, seed), results(theirs, x, w, seed), strict=True)
    for mine, other in pairs:
        assert (mine.shape, mine.dtype) == (other.shape, other.dtype)
        assert error(mine, other) < below


def draw(*shape, dtype="float32"):
    return jnp.asarray(np.random.default_rng(len(shape)).normal(size=shape), dtype)


SIDES = (7, 8)  # an odd one and an even one
CASES = [
    (kernel, strides, padding)
    for kernel in ((1, 1), (2, 3), (3, 3), (5, 5))
    for strides in ((1, 1), (2, 2), (3, 1))
    for padding in ("SAME", "VALID")
]


@pytest.mark.parametrize(("kernel", "strides", "padding"), CASES)
def test_it_is_the_stock_convolution(kernel, strides, padding):
    x, w = draw(2, *SIDES, 5), draw(*kernel, 5, 4)
    how = {"strides": strides, "padding": padding}
    compare(lambda x, w: convolve(x, w, strides, padding), partial(stock, **how), x, w)


@pytest.mark.parametrize(("kernel", "strides", "padding"), CASES)
def test_so_it_is_channel_by_channel(kernel, strides, padding):
    x, w = draw(2, *SIDES, 5), draw(*kernel, 5)

    def theirs(x, w):
        return stock(x, w[:, :, None], strides, padding, groups=5)

    compare(lambda x, w: convolve_depthwise(x, w, strides, padding), theirs, x, w)


def test_bfloat16_in_gives_bfloat16_out_within_its_rounding():
    x, w = draw(2, 8, 8, 16, dtype="bfloat16"), draw(1, 1, 16, 8, dtype="bfloat16")
    ways = (convolve, stock)
    compare(*[partial(way, strides=(2, 2), padding="SAME") for way in ways], x, w, below=2e-2)
    kernel = draw(3, 3, 16, dtype="bfloat16")
    compare(
        lambda x, w: convolve_depthwise(x, w, (1, 1), "SAME"),
        lambda x, w: stock(x, w[:, :, None], (1, 1), "SAME", groups=16),
        x,
        kernel,
        below=2e-2,
    )


def test_a_gpu_gets_the_stock_convolutions():
    x, w = draw(2, 8, 8, 16), draw(1, 1, 16, 8)

    def has_convolution(platform):
        traced = jax.jit(lambda x, w: convolve(x, w, (2, 2), "SAME")).trace(x, w)
        return "convolution" in traced.lower(lowering_platforms=(platform,)).as_text()

    assert (has_convolution("cuda"), has_convolution("cpu")) == (True, False)
