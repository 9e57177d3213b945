"""A 3x3 convolution (stride 1, SAME) that trains faster on CPUs, as a function.

Native code computes what fits it, where it can be built. For the rest, XLA's weight gradient runs
at a quarter of the matrix-multiply peak and less from 16 px up, and its forward and input gradient
collapse at 2x2: there `plan` chooses the algorithm for each shape. On every platform but the CPU,
the stock convolution runs.
"""

from __future__ import annotations

from functools import partial
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax

from kvgg_jax.core.devices.mesh import by_rows, sum_over_devices
from kvgg_jax.models.kernels import stock, taps, winograd
from kvgg_jax.models.kernels.native import convolution as native

LEAST_SIDE = 16  # pixels: below, the edge is too large a part of the image


class Plan(NamedTuple):
    """Which algorithm computes what; the input gradient takes the forward's."""

    forward: Literal["stock", "taps", "winograd"]
    weight_grad: Literal["stock", "patches", "winograd"]


# Milliseconds with jax 0.10.2 in float32 on 2 cores of an Intel Xeon: the least of 4 to 16 runs,
# stock and other in turn, beside a light load. `->` is taken; `~` and the number after it is what
# `plan` turns down. Those with * win little or lose there, and are taken for what they win on an
# AMD EPYC (forward alone, ms): 168 -> 110 at 112 px, 29 -> 25 at 24 px, 39 -> 23 at 14 px.
#
# images x side, channels    forward           input gradient    weight gradient
#  8 x 224,   3 ->  64         44               -                 90 ->  30 patches
#  8 x 224,  64 ->  64        118              119               962 -> 169 winograd
#  8 x 112, 128 -> 128         99 ->  97 wino.* 100 ->  99 wino.* 497 ->  86 winograd
#  8 x  56, 256 -> 256         96 ->  54 wino.  93 ->  53 wino.  509 ->  57 winograd
#  8 x  28, 512 -> 512         94 ->  56 wino.  94 ->  57 wino.  388 ->  62 winograd
#  8 x  14, 512 -> 512         22 ->  25 wino.*  24 ->  28 wino.*  29 ->  23 winograd
#  8 x  10, 512 -> 512                                            15 ~  18
# 32 x  96,  64 ->  64        113              112               651 -> 116 winograd
# 32 x  48,  64 ->  64         30               31               143 ->  34 winograd
# 32 x  24, 128 -> 128         15 ->  18 wino.*  15 ->  18 wino.*  68 ->  26 winograd
# 32 x  12, 256 -> 256         16 ->   9 wino.  16 ->   9 wino.   23 ->  10 winograd
# 32 x   6, 512 -> 512                                            22 ~  23
# 32 x   2, 512 -> 512        253 ->   2 taps  255 ->   3 taps     2
def plan(shape: tuple[int, ...], cout: int) -> Plan:
    """The fastest algorithms without native code for [batch, h, w, cin], by the table above."""
    batch, height, width, cin = shape
    if max(height, width) <= 2:
        return Plan("taps", "stock")
    if min(height, width) < 12 or not isinstance(batch, int):
        return Plan("stock", "stock")  # a batch is not an int where jax.export leaves it open
    if min(cin, cout) <= 8:
        return Plan("stock", "patches" if cin <= 8 else "stock")
    wide = min(cin, cout) >= 128
    many = batch * height * width >= 784
    return Plan("winograd" if wide and many else "stock", "winograd")


_stock_gradients = stock.gradients_of(stock.convolve)


@jax.custom_vjp
def conv3x3(x: Array, w: Array) -> Array:
    """[batch, h, w, cin] and [3, 3, cin, cout], one dtype -> [batch, h, w, cout]: stride 1, SAME.

    Equals `lax.conv_general_dilated`, in its gradients too, to 1e-5 relative in float32 (the norm
    of the error to the norm of the result). So too in float64: all but
    the stock convolution compute in float32. No forward-mode derivatives.
    """
    return lax.platform_dependent(
        x, w, cpu=by_rows(_forward, rows=(True, False)), default=stock.convolve
    )


def conv3x3_valid(x: Array, w: Array) -> Array:
    """As `conv3x3`, without padding: [batch, h, w, cin] -> [batch, h - 2, w - 2, cout].

    With native code, the padded one without its edge is faster than XLA's, but for small images.
    """
    if min(x.shape[1:3]) < LEAST_SIDE or not native.fits(x.shape, w.shape[-1]):
        return taps.convolve(x, w, (1, 1), "VALID")
    theirs = partial(stock.convolve, padding="VALID")
    return lax.platform_dependent(x, w, cpu=_inner, default=theirs)


def _inner(x: Array, w: Array) -> Array:
    return conv3x3(x, w)[:, 1:-1, 1:-1]


def _conv3x3_fwd(x: Array, w: Array) -> tuple[Array, tuple[Array, Array]]:
    return conv3x3(x, w), (x, w)


def _conv3x3_bwd(saved: tuple[Array, Array], g: Array) -> tuple[Array, Array]:
    backward = by_rows(_backward, rows=(True, False, True), out=(True, False))
    dx, dw = lax.platform_dependent(*saved, g, cpu=backward, default=_stock_gradients)
    return dx, dw


conv3x3.defvjp(_conv3x3_fwd, _conv3x3_bwd)


def _forward(x: Array, w: Array) -> Array:
    if native.fits(x.shape, w.shape[-1]):
        return native.convolve(x, w)
    algorithms = {"stock": stock.convolve, "taps": _taps, "winograd": winograd.convolve}
    return algorithms[plan(x.shape, w.shape[-1]).forward](x, w)


def _backward(x: Array, w: Array, g: Array) -> tuple[Array, Array]:
    if native.fits(x.shape, w.shape[-1]):
        dx, dw = native.gradients(x, w, g)
    else:
        dx, dw = _planned_backward(x, w, g)
    return dx, sum_over_devices(dw)


def _planned_backward(x: Array, w: Array, g: Array) -> tuple[Array, Array]:
    chosen = plan(x.shape, w.shape[-1])
    dx, dw = _stock_gradients(x, w, g)  # XLA drops what is replaced below
    if chosen.forward == "taps":
        dx = jax.vjp(lambda x: _taps(x, w), x)[1](g)[0]
    if chosen.forward == "winograd":
        dx = winograd.convolve(g, w[::-1, ::-1], into=2)
    if chosen.weight_grad == "patches":
        dw = _weight_grad_patches(x, g).astype(w.dtype)
    if chosen.weight_grad == "winograd":
        dw = winograd.weight_grad(x, g).astype(w.dtype)
    return dx, dw


def _taps(x: Array, w: Array) -> Array:
    """A matrix product for each pair of pixels: for images of up to 2x2, where all touch."""
    _, height, width, _ = x.shape
    x32, w32 = x.astype(jnp.float32), w.astype(jnp.float32)
    pixels = [(i, j) for i in range(height) for j in range(width)]

    def pixel(i: int, j: int) -> Array:
        products = [x32[:, a, b] @ w32[a - i + 1, b - j + 1] for a, b in pixels]
        return sum(products[1:], products[0])

    out = jnp.stack([pixel(i, j) for i, j in pixels], 1).astype(x.dtype)
    return out.reshape(-1, height, width, w.shape[-1])


def _weight_grad_patches(x: Array, g: Array) -> Array:
    """[9 cin, pixels] x [pixels, cout], image by image to stay in cache: for few input channels."""
    batch, height, width, cin = x.shape
    cout = g.shape[-1]

    def add_image(i: Array, total: Array) -> Array:
        image = jnp.moveaxis(lax.dynamic_index_in_dim(x, i, keepdims=False), -1, 0)
        image = jnp.pad(image.astype(jnp.float32), ((0, 0), (1, 1), (1, 1)))
        shifts = [image[:, a : a + height, b : b + width] for a in range(3) for b in range(3)]
        out = lax.dynamic_index_in_dim(g, i, keepdims=False).astype(jnp.float32)
        return total + jnp.stack(shifts).reshape(9 * cin, -1) @ out.reshape(-1, cout)

    total = jnp.zeros((9 * cin, cout), jnp.float32)
    return lax.fori_loop(0, batch, add_image, total).reshape(3, 3, cin, cout)
