"""Images, weights and gradients for convolutions, and what float64 makes of them."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np


def stock(x, w, strides=(1, 1), padding="SAME", groups=1):
    """As XLA computes it."""
    numbers = ("NHWC", "HWIO", "NHWC")
    return jax.lax.conv_general_dilated(
        x, w, strides, padding, dimension_numbers=numbers, feature_group_count=groups
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


def exact(x, w, g):
    """Result and gradients in float64, of the direct form."""
    x64, w64, g64 = (np.asarray(a, np.float64) for a in (x, w, g))
    padded = np.pad(x64, ((0, 0), (1, 1), (1, 1), (0, 0)))
    beyond = np.pad(g64, ((0, 0), (1, 1), (1, 1), (0, 0)))
    _, high, wide, _ = x.shape
    found = [np.zeros(a.shape) for a in (g, x, w)]
    for i, j in np.ndindex(3, 3):
        near = padded[:, i : i + high, j : j + wide]
        found[0] += near @ w64[i, j]
        found[1] += beyond[:, 2 - i : 2 - i + high, 2 - j : 2 - j + wide] @ w64[i, j].T
        found[2][i, j] = np.tensordot(near, g64, ((0, 1, 2), (0, 1, 2)))
    return found


def error(a, b):
    """The norm of the difference, relative to the norm of `b`."""
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    return np.linalg.norm(a - b) / np.linalg.norm(b)
