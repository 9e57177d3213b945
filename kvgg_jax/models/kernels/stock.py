"""XLA's own convolution, and how a function is turned into its gradients."""

from __future__ import annotations

from collections.abc import Callable

import jax
from jax import Array, lax

Forward = Callable[[Array, Array], Array]
"""(x, w) -> y."""
Backward = Callable[[Array, Array, Array], tuple[Array, Array]]
"""(x, w, gradient of y) -> gradients of x and w."""


def convolve(
    x: Array,
    w: Array,
    *,
    strides: tuple[int, int] = (1, 1),
    padding: str = "SAME",
    groups: int = 1,
) -> Array:
    """[batch, h, w, cin] and [kh, kw, cin / groups, cout] -> [batch, h', w', cout]."""
    numbers = ("NHWC", "HWIO", "NHWC")
    return lax.conv_general_dilated(
        x, w, strides, padding, dimension_numbers=numbers, feature_group_count=groups
    )


def gradients_of(forward: Forward) -> Backward:
    """As JAX derives them."""

    def backward(x: Array, w: Array, g: Array) -> tuple[Array, Array]:
        dx, dw = jax.vjp(forward, x, w)[1](g)
        return dx, dw

    return backward
