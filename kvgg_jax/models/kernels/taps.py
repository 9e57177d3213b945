"""Convolutions by the taps of their kernel, faster on CPUs where XLA's own are slow.

XLA computes the weight gradient of a convolution at a tenth of the speed of a matrix product and
less, and all of a depthwise one at a twentieth of the speed of its multiplications. A 1x1
convolution is one product, and so is each tap of a larger kernel in the weight gradient; of a
depthwise one, a tap is a multiplication. On every platform but the CPU, the stock convolution runs.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax

from kvgg_jax.models.kernels import stock
from kvgg_jax.models.kernels.stock import Backward, Forward, gradients_of

Strides = tuple[int, int]


class _Ways(NamedTuple):
    """Of one convolution: XLA's, and on CPUs ours."""

    stock: Forward
    forward: Forward
    backward: Backward


def convolve(x: Array, w: Array, strides: Strides, padding: str) -> Array:
    """[batch, h, w, cin] and [kh, kw, cin, cout] -> [batch, h', w', cout].

    `padding` is SAME or VALID. Equals `lax.conv_general_dilated`, gradients included, but for the
    order of sums. No forward-mode derivatives.
    """
    theirs = partial(stock.convolve, strides=strides, padding=padding)
    if w.shape[:2] == (1, 1):
        ours = partial(_pointwise, strides=strides)
        return _by_platform(_Ways(theirs, ours, gradients_of(ours)), x, w)
    backward = partial(_gradients, strides=strides, padding=padding)
    return _by_platform(_Ways(theirs, theirs, backward), x, w)


def convolve_depthwise(x: Array, w: Array, strides: Strides, padding: str) -> Array:
    """[batch, h, w, c] and [kh, kw, c] -> [batch, h', w', c]: as `convolve`, channel by channel."""
    ours = partial(_depthwise, strides=strides, padding=padding)

    def theirs(x: Array, w: Array) -> Array:
        groups = x.shape[-1]
        return stock.convolve(x, w[:, :, None], strides=strides, padding=padding, groups=groups)

    return _by_platform(_Ways(theirs, ours, gradients_of(ours)), x, w)


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _by_platform(ways: _Ways, x: Array, w: Array) -> Array:
    return lax.platform_dependent(x, w, cpu=ways.forward, default=ways.stock)


def _by_platform_fwd(ways: _Ways, x: Array, w: Array) -> tuple[Array, tuple[Array, Array]]:
    return _by_platform(ways, x, w), (x, w)


def _by_platform_bwd(ways: _Ways, saved: tuple[Array, Array], g: Array) -> tuple[Array, Array]:
    theirs = gradients_of(ways.stock)
    return lax.platform_dependent(*saved, g, cpu=ways.backward, default=theirs)


_by_platform.defvjp(_by_platform_fwd, _by_platform_bwd)


def _pointwise(x: Array, w: Array, *, strides: Strides) -> Array:
    taken = x[:, :: strides[0], :: strides[1]]
    product = _pixels(taken) @ w[0, 0].astype(jnp.float32)
    return product.reshape(*taken.shape[:3], -1).astype(x.dtype)


def _gradients(
    x: Array, w: Array, g: Array, *, strides: Strides, padding: str
) -> tuple[Array, Array]:
    """That of the weights is a product for each tap: [cin, pixels] x [pixels, cout]."""
    theirs = partial(stock.convolve, strides=strides, padding=padding)
    dx, _ = gradients_of(theirs)(x, w, g)  # XLA drops the other
    taps = [_pixels(tap).T @ _pixels(g) for tap in _taps(x, w.shape[:2], strides, padding)]
    return dx, jnp.stack(taps).reshape(w.shape).astype(w.dtype)


def _pixels(maps: Array) -> Array:
    """[batch, h, w, c] as a matrix, which XLA multiplies twice as fast: float32 [pixels, c]."""
    return maps.reshape(-1, maps.shape[-1]).astype(jnp.float32)


def _depthwise(x: Array, w: Array, *, strides: Strides, padding: str) -> Array:
    kernel = w.reshape(-1, w.shape[-1]).astype(jnp.float32)
    taps = zip(_taps(x, w.shape[:2], strides, padding), kernel, strict=True)
    products = [tap * factor for tap, factor in taps]
    return sum(products[1:], products[0]).astype(x.dtype)


def _taps(x: Array, kernel: tuple[int, ...], strides: Strides, padding: str) -> Iterator[Array]:
    """For each tap of the kernel, in float32, the pixels that it meets: [batch, h', w', c]."""
    batch, height, width, channels = x.shape
    around = lax.padtype_to_pads((height, width), kernel, strides, padding)
    padded = jnp.pad(x.astype(jnp.float32), ((0, 0), *around, (0, 0)))
    rows, columns = (
        (side - tap) // stride * stride + 1  # from the first pixel of a tap to its last one
        for side, tap, stride in zip(padded.shape[1:3], kernel, strides, strict=True)
    )
    for i in range(kernel[0]):
        for j in range(kernel[1]):
            end = (batch, i + rows, j + columns, channels)
            yield lax.slice(padded, (0, i, j, 0), end, (1, *strides, 1))
