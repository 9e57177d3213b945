"""ReLU whose gradient is read off its output, which the next layer keeps anyway.

JAX reads it off the input, and XLA too, whatever it is told, since that is one addition away: then
a training step keeps both, twice the memory of all features. On CPUs a loop over the pictures,
which XLA does not look through, holds it to the output.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import Array, lax

from kvgg_jax.core.devices import device_count


@jax.custom_vjp
def relu(x: Array) -> Array:
    """max(x, 0) of [batch, ...]; equals `jax.nn.relu`, gradient included. No forward mode."""
    return jnp.maximum(x, 0)


def _relu_fwd(x: Array) -> tuple[Array, Array]:
    y = relu(x)
    return y, y


def _relu_bwd(y: Array, g: Array) -> tuple[Array]:
    if device_count() > 1:  # a loop over pictures would gather a batch that lies on several
        return (_masked(y, g),)
    return (lax.platform_dependent(y, g, cpu=_by_image, default=_masked),)


relu.defvjp(_relu_fwd, _relu_bwd)


def _masked(y: Array, g: Array) -> Array:
    return jnp.where(y > 0, g, 0)


def _by_image(y: Array, g: Array) -> Array:
    def mask(i: Array, g: Array) -> Array:
        row = _masked(*(lax.dynamic_index_in_dim(a, i, keepdims=False) for a in (y, g)))
        return lax.dynamic_update_index_in_dim(g, row, i, 0)

    return lax.fori_loop(0, len(y), mask, g)
