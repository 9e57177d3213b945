"""The calls of the library as functions of JAX; `fits` says where they apply."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import Array

from kvgg_jax.models.kernels import stock
from kvgg_jax.models.kernels.native.library import Library, load

LEAST_CHANNELS = 16  # a library that takes fewer at a time is not built
LEAST_TILES = 32  # for fewer, the kernel's points take longer than the products they save


def fits(shape: tuple[int, ...], cout: int) -> bool:
    """Whether native code computes [batch, h, w, cin] -> [batch, h, w, cout], and is the faster."""
    batch, height, width, cin = shape
    if not isinstance(batch, int) or max(height, width) <= 2 or min(cin, cout) < LEAST_CHANNELS:
        return False
    if _tiles(shape) < LEAST_TILES or cin % LEAST_CHANNELS or cout % LEAST_CHANNELS:
        return False
    if jax.default_backend() != "cpu":
        return False  # else a machine with a GPU would build what it never runs
    library = load()
    return isinstance(library, Library) and not (cin % library.channels or cout % library.channels)


@jax.custom_vjp
def gradients(x: Array, w: Array, g: Array) -> tuple[Array, Array]:
    """Those of input and weights, from the output's. Their own derivatives are XLA's."""
    return convolve(g, w, turned=True), weight_grad(x, g)


def _gradients_fwd(*arrays: Array) -> tuple[tuple[Array, Array], tuple[Array, ...]]:
    return gradients(*arrays), arrays


def _gradients_bwd(saved: tuple[Array, ...], g: tuple[Array, Array]) -> tuple[Array, ...]:
    return jax.vjp(stock.gradients_of(stock.convolve), *saved)[1](g)


gradients.defvjp(_gradients_fwd, _gradients_bwd)


def convolve(x: Array, w: Array, *, turned: bool = False) -> Array:
    """The convolution of what `fits`, or `turned` the input's gradient, from the output's.

    It computes in float32; the result is of the type of `x`.
    """
    cin, cout = (w.shape[3], w.shape[2]) if turned else w.shape[2:]
    y, _ = jax.ffi.ffi_call(
        _library().convolve,
        (_float32(*x.shape[:3], cout), _float32(36, cin + 1, cout)),  # and room for the points
        vmap_method="sequential",
    )(x.astype(jnp.float32), w.astype(jnp.float32), turned=turned)
    return y.astype(x.dtype)


def weight_grad(x: Array, g: Array) -> Array:
    """The gradient of the weights, from images and the output's gradient."""
    library, cin, cout = _library(), x.shape[3], g.shape[3]
    parts = library.functions.kvgg_parts(cin, cout, _tiles(x.shape))
    partial = (parts, 3, 3, cin, cout) if parts > 1 else (0,)
    dw, _ = jax.ffi.ffi_call(
        library.weight_gradient,
        (_float32(3, 3, cin, cout), _float32(*partial)),
        vmap_method="sequential",
    )(x.astype(jnp.float32), g.astype(jnp.float32))
    return dw.astype(x.dtype)


def _tiles(shape: tuple[int, ...]) -> int:
    batch, height, width, _ = shape
    return batch * -(-height // 4) * -(-width // 4)


def _float32(*shape: int) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(shape, jnp.float32)


def _library() -> Library:
    library = load()
    assert isinstance(library, Library)
    return library
