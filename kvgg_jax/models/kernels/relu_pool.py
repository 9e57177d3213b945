"""ReLU and 2x2 max pooling (stride 2) whose gradients need little memory on CPUs.

JAX reads ReLU's gradient off its input, and keeps that beside the output, which the next layer
needs anyway: twice the memory of all features. XLA undoes whatever is written against that, unless
a loop over the images hides it. XLA's own gradient of pooling numbers every value and scatters: at
8 x 224 x 224 x 64 four times the memory of the features and nine times the time of comparisons.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import Array, lax

from kvgg_jax.core.devices.mesh import by_rows

Backward = Callable[[Array, Array], Array]
"""(what the forward pass kept, gradient of the output) -> gradient of the input."""


def _on_cpus(fast: Backward, stock: Backward, kept: Array, g: Array) -> tuple[Array]:
    """`fast` on CPUs, for the rows of each."""
    cpu = by_rows(fast, rows=(True, True))
    return (lax.platform_dependent(kept, g, cpu=cpu, default=stock),)


@jax.custom_vjp
def relu(x: Array) -> Array:
    """max(x, 0) of [batch, ...]; equals `jax.nn.relu`, gradient included. No forward mode."""
    return jnp.maximum(x, 0)


def _relu_fwd(x: Array) -> tuple[Array, Array]:
    y = relu(x)
    return y, y


def _relu_bwd(y: Array, g: Array) -> tuple[Array]:
    return _on_cpus(_masked_by_image, _masked, y, g)


relu.defvjp(_relu_fwd, _relu_bwd)


def _masked(y: Array, g: Array) -> Array:
    return jnp.where(y > 0, g, 0)


def _masked_by_image(y: Array, g: Array) -> Array:
    def mask(i: Array, g: Array) -> Array:
        row = _masked(*(lax.dynamic_index_in_dim(a, i, keepdims=False) for a in (y, g)))
        return lax.dynamic_update_index_in_dim(g, row, i, 0)

    return lax.fori_loop(0, len(y), mask, g)


@jax.custom_vjp
def max_pool2x2(x: Array) -> Array:
    """[batch, h, w, c] -> [batch, h // 2, w // 2, c]: the largest of each 2x2 pixels.

    Equals `lax.reduce_window`, ties and gradients included. No forward-mode derivatives.
    """
    return _largest(x)


def _max_pool2x2_fwd(x: Array) -> tuple[Array, Array]:
    return max_pool2x2(x), x


def _max_pool2x2_bwd(x: Array, g: Array) -> tuple[Array]:
    return _on_cpus(_unpooled_by_image, lambda x, g: jax.vjp(_largest, x)[1](g)[0], x, g)


max_pool2x2.defvjp(_max_pool2x2_fwd, _max_pool2x2_bwd)


def _largest(x: Array) -> Array:
    window = (1, 2, 2, 1)
    return lax.reduce_window(x, -jnp.inf, lax.max, window, window, "VALID")


def _unpooled(x: Array, g: Array) -> Array:
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


def _unpooled_by_image(x: Array, g: Array) -> Array:
    def one(i: Array, dx: Array) -> Array:
        row = _unpooled(*(lax.dynamic_slice_in_dim(a, i, 1) for a in (x, g)))
        return lax.dynamic_update_slice_in_dim(dx, row, i, 0)

    return lax.fori_loop(0, len(x), one, jnp.zeros_like(x))
