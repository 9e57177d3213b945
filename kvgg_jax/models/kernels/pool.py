"""2x2 max pooling (stride 2) with a cheap gradient on CPUs.

XLA's own gradient there numbers every value and scatters: at 8 x 224 x 224 x 64 four times the
memory of the pictures' features and nine times the time of the comparisons below.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import Array, lax

from kvgg_jax.core.devices import device_count


@jax.custom_vjp
def max_pool2x2(x: Array) -> Array:
    """[batch, h, w, c] -> [batch, h // 2, w // 2, c]: the largest of each 2x2 pixels.

    Equals `lax.reduce_window`, ties and gradients included. No forward-mode derivatives.
    """
    return _stock(x)


def _max_pool2x2_fwd(x: Array) -> tuple[Array, Array]:
    return max_pool2x2(x), x


def _max_pool2x2_bwd(x: Array, g: Array) -> tuple[Array]:
    if device_count() > 1:  # see relu.py
        return (_stock_backward(x, g),)
    return (lax.platform_dependent(x, g, cpu=_by_image, default=_stock_backward),)


max_pool2x2.defvjp(_max_pool2x2_fwd, _max_pool2x2_bwd)


def _stock(x: Array) -> Array:
    window = (1, 2, 2, 1)
    return lax.reduce_window(x, -jnp.inf, lax.max, window, window, "VALID")


def _stock_backward(x: Array, g: Array) -> Array:
    return jax.vjp(_stock, x)[1](g)[0]


def _backward(x: Array, g: Array) -> Array:
    """`g` where the first of the largest was, else 0."""
    batch, height, width, channels = x.shape
    rows, columns = height // 2, width // 2
    whole = x[:, : 2 * rows, : 2 * columns]  # an odd last row or column is in no window
    windows = whole.reshape(batch, rows, 2, columns, 2, channels)
    first, second, third, fourth = (windows[:, :, i, :, j] for i in (0, 1) for j in (0, 1))
    top = jnp.maximum(jnp.maximum(first, second), jnp.maximum(third, fourth))
    place = jnp.where(third == top, 2, 3)
    place = jnp.where(first == top, 0, jnp.where(second == top, 1, place)).astype(jnp.int8)
    here = jnp.arange(4, dtype=jnp.int8).reshape(1, 1, 2, 1, 2, 1)
    dx = jnp.where(place[:, :, None, :, None] == here, g[:, :, None, :, None], 0)
    odd = ((0, 0), (0, height - 2 * rows), (0, width - 2 * columns), (0, 0))
    return jnp.pad(dx.reshape(whole.shape), odd).astype(x.dtype)


def _by_image(x: Array, g: Array) -> Array:
    """In a loop that XLA does not look through: see relu.py."""

    def one(i: Array, dx: Array) -> Array:
        row = _backward(*(lax.dynamic_slice_in_dim(a, i, 1) for a in (x, g)))
        return lax.dynamic_update_slice_in_dim(dx, row, i, 0)

    return lax.fori_loop(0, len(x), one, jnp.zeros_like(x))
