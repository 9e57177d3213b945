"""Convolutions by the taps of their kernel, faster on CPUs where XLA's own are slow.

XLA computes the weight gradient of a convolution at a tenth of the speed of a matrix product and
less, and all of a depthwise one at a twentieth of the speed of its multiplications. A 1x1
convolution is one product, and so is each tap of a larger kernel in the weight gradient; of a
depthwise one, a tap is a multiplication. On every platform but the CPU, the stock convolution runs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import jax
import jax.numpy as jnp
from jax import Array, lax

Strides = tuple[int, int]


@partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def convolve(x: Array, w: Array, strides: Strides, padding: str) -> Array:
    """[batch, h, w, cin] and [kh, kw, cin, cout] -> [batch, h', w', cout].

    `padding` is SAME or VALID. Equals `lax.conv_general_dilated`, gradients included, but for the
    order of sums. No forward-mode derivatives.
    """
    stock = partial(_stock, strides=strides, padding=padding)
    if w.shape[:2] != (1, 1):
        return stock(x, w)
    return lax.platform_dependent(x, w, cpu=partial(_pointwise, strides=strides), default=stock)


def _convolve_fwd(
    x: Array, w: Array, strides: Strides, padding: str
) -> tuple[Array, tuple[Array, Array]]:
    return convolve(x, w, strides, padding), (x, w)


def _convolve_bwd(
    strides: Strides, padding: str, saved: tuple[Array, Array], g: Array
) -> tuple[Array, Array]:
    stock = _pullback(partial(_stock, strides=strides, padding=padding))
    fast = _pullback(partial(_pointwise, strides=strides))
    if saved[1].shape[:2] != (1, 1):
        fast = partial(_gradients, strides=strides, padding=padding)
    return lax.platform_dependent(*saved, g, cpu=fast, default=stock)


convolve.defvjp(_convolve_fwd, _convolve_bwd)


@partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def convolve_depthwise(x: Array, w: Array, strides: Strides, padding: str) -> Array:
    """[batch, h, w, c] and [kh, kw, c] -> [batch, h', w', c]: as `convolve`, channel by channel."""
    fast, stock = _depthwise(strides, padding)
    return lax.platform_dependent(x, w, cpu=fast, default=stock)


def _convolve_depthwise_fwd(
    x: Array, w: Array, strides: Strides, padding: str
) -> tuple[Array, tuple[Array, Array]]:
    return convolve_depthwise(x, w, strides, padding), (x, w)


def _convolve_depthwise_bwd(
    strides: Strides, padding: str, saved: tuple[Array, Array], g: Array
) -> tuple[Array, Array]:
    fast, stock = map(_pullback, _depthwise(strides, padding))
    return lax.platform_dependent(*saved, g, cpu=fast, default=stock)


convolve_depthwise.defvjp(_convolve_depthwise_fwd, _convolve_depthwise_bwd)

Forward = Callable[[Array, Array], Array]


def _pullback(forward: Forward) -> Callable[[Array, Array, Array], tuple[Array, Array]]:
    """(x, w, gradient of the result) -> gradients of x and w."""
    return lambda x, w, g: tuple(jax.vjp(forward, x, w)[1](g))


def _stock(x: Array, w: Array, *, strides: Strides, padding: str, groups: int = 1) -> Array:
    numbers = ("NHWC", "HWIO", "NHWC")
    return lax.conv_general_dilated(
        x, w, strides, padding, dimension_numbers=numbers, feature_group_count=groups
    )


def _pointwise(x: Array, w: Array, *, strides: Strides) -> Array:
    taken = x[:, :: strides[0], :: strides[1]]
    product = _pixels(taken) @ w[0, 0].astype(jnp.float32)
    return product.reshape(*taken.shape[:3], -1).astype(x.dtype)


def _gradients(
    x: Array, w: Array, g: Array, *, strides: Strides, padding: str
) -> tuple[Array, Array]:
    """That of the weights is a product for each tap: [cin, pixels] x [pixels, cout]."""
    stock = partial(_stock, strides=strides, padding=padding)
    dx, _ = jax.vjp(stock, x, w)[1](g)  # XLA drops the other
    taps = [_pixels(tap).T @ _pixels(g) for tap in _taps(x, w.shape[:2], strides, padding)]
    return dx, jnp.stack(taps).reshape(w.shape).astype(w.dtype)


def _pixels(maps: Array) -> Array:
    """[batch, h, w, c] as a matrix, which XLA multiplies twice as fast: float32 [pixels, c]."""
    return maps.reshape(-1, maps.shape[-1]).astype(jnp.float32)


def _depthwise(strides: Strides, padding: str) -> tuple[Forward, Forward]:
    """Ours, and XLA's."""

    def fast(x: Array, w: Array) -> Array:
        kernel = w.reshape(-1, w.shape[-1]).astype(jnp.float32)
        taps = zip(_taps(x, w.shape[:2], strides, padding), kernel, strict=True)
        products = [tap * factor for tap, factor in taps]
        return sum(products[1:], products[0]).astype(x.dtype)

    def stock(x: Array, w: Array) -> Array:
        wide = w[:, :, None]
        return _stock(x, wide, strides=strides, padding=padding, groups=x.shape[-1])

    return fast, stock


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
