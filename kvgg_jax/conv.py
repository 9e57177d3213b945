"""A 3x3 convolution (stride 1, SAME) that trains faster on CPUs, as a function and as a layer.

XLA's weight gradient runs at a quarter of the matrix-multiply peak and less from 16 px up, and
its forward and input gradient collapse at 2x2. `plan` says which algorithm replaces them where;
elsewhere, and on every platform but the CPU, the stock convolution runs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from kvgg_jax.keras_gate import keras

if TYPE_CHECKING:
    from jax import Array


class Plan(NamedTuple):
    """Which algorithm computes what; the input gradient takes the forward's."""

    forward: Literal["stock", "taps", "winograd"]
    weight_grad: Literal["stock", "patches", "winograd"]


# Milliseconds with jax 0.10.2 in float32 on 2 cores: the least of 4 to 16 runs, stock and other in
# turn, beside a light load. `->` is taken; `~` and the number after it is what `plan` turns down.
#
# images x side, channels    forward           input gradient    weight gradient
#  8 x 224,   3 ->  64         44               -                 90 ->  30 patches
#  8 x 224,  64 ->  64        118 ~ 157        119               962 -> 169 winograd
#  8 x 112, 128 -> 128         99 ~  97        100 ~  99         497 ->  86 winograd
#  8 x  56, 256 -> 256         96 ->  54 wino.  93 ->  53 wino.  509 ->  57 winograd
#  8 x  28, 512 -> 512         94 ->  56 wino.  94 ->  57 wino.  388 ->  62 winograd
#  8 x  14, 512 -> 512         22 ~  25         24 ~  28          29 ->  23 winograd
#  8 x  10, 512 -> 512                                            15 ~  18
# 32 x  96,  64 ->  64        113              112               651 -> 116 winograd
# 32 x  48,  64 ->  64         30 ~  35         31               143 ->  34 winograd
# 32 x  24, 128 -> 128         15 ~  18         15 ~  18          68 ->  26 winograd
# 32 x  12, 256 -> 256         16 ->   9 wino.  16 ->   9 wino.   23 ->  10 winograd
# 32 x   6, 512 -> 512                                            22 ~  23
# 32 x   2, 512 -> 512        253 ->   2 taps  255 ->   3 taps     2
def plan(shape: tuple[int, ...], cout: int) -> Plan:
    """The fastest algorithms for images [batch, h, w, cin], by the table above."""
    batch, height, width, cin = shape
    if max(height, width) <= 2:
        return Plan("taps", "stock")
    if min(height, width) < 12 or not isinstance(batch, int):
        return Plan("stock", "stock")  # a batch is not an int where jax.export leaves it open
    if min(cin, cout) <= 8:
        return Plan("stock", "patches" if cin <= 8 else "stock")
    wide = min(cin, cout) >= 128 and max(cin, cout) >= 256
    many = batch * height * width >= 3200
    return Plan("winograd" if wide and many else "stock", "winograd")


@jax.custom_vjp
def conv3x3(x: Array, w: Array) -> Array:
    """[batch, h, w, cin] and [3, 3, cin, cout], one dtype -> [batch, h, w, cout]: stride 1, SAME.

    Equals `lax.conv_general_dilated`, in its gradients too, to 1e-5 relative in float32 (the norm
    of the error to the norm of the result). No forward-mode derivatives.
    """
    return lax.platform_dependent(x, w, cpu=_forward, default=_stock)


def _conv3x3_fwd(x: Array, w: Array) -> tuple[Array, tuple[Array, Array]]:
    return conv3x3(x, w), (x, w)


def _conv3x3_bwd(saved: tuple[Array, Array], g: Array) -> tuple[Array, Array]:
    dx, dw = lax.platform_dependent(*saved, g, cpu=_backward, default=_stock_backward)
    return dx, dw


conv3x3.defvjp(_conv3x3_fwd, _conv3x3_bwd)


@keras.saving.register_keras_serializable(package="kvgg_jax")
class Conv2D(keras.layers.Conv2D):
    """Keras' `Conv2D`, arguments and weights alike, that uses `conv3x3` where that applies.

    It has Keras' name too: weight files name layers by class, and go from one to the other.
    """

    def convolution_op(self, inputs: Array | keras.KerasTensor, kernel: Array) -> Any:
        """`inputs` convolved with `kernel`, before bias and activation."""
        geometry = (self.kernel_size, self.strides, self.dilation_rate)
        plain = geometry == ((3, 3), (1, 1), (1, 1)) and self.groups == 1
        if not plain or self.padding != "same" or self.data_format != "channels_last":
            return super().convolution_op(inputs, kernel)
        x, w = keras.ops.convert_to_tensor(inputs), keras.ops.convert_to_tensor(kernel)
        dtype = jnp.promote_types(x.dtype, w.dtype)
        return conv3x3(x.astype(dtype), w.astype(dtype))


def _stock(x: Array, w: Array) -> Array:
    return lax.conv_general_dilated(
        x, w, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


def _stock_backward(x: Array, w: Array, g: Array) -> tuple[Array, Array]:
    dx, dw = jax.vjp(_stock, x, w)[1](g)
    return dx, dw


def _forward(x: Array, w: Array) -> Array:
    algorithms = {"stock": _stock, "taps": _taps, "winograd": _winograd}
    return algorithms[plan(x.shape, w.shape[-1]).forward](x, w)


def _backward(x: Array, w: Array, g: Array) -> tuple[Array, Array]:
    chosen = plan(x.shape, w.shape[-1])
    dx, dw = _stock_backward(x, w, g)  # XLA drops what is replaced below
    if chosen.forward == "taps":
        dx = jax.vjp(lambda x: _taps(x, w), x)[1](g)[0]
    if chosen.forward == "winograd":
        dx = _winograd(g, w[::-1, ::-1], into=2)
    if chosen.weight_grad == "patches":
        dw = _weight_grad_patches(x, g).astype(w.dtype)
    if chosen.weight_grad == "winograd":
        dw = _weight_grad_winograd(x, g).astype(w.dtype)
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


# Winograd's F(4x4, 3x3) (Lavin & Gray 2016, arXiv:1509.09308, section 4.3): in 6x6 points, a tile
# of 4x4 outputs is 36 products where the direct form has 144. `B`, `G` and `A` are named there.
_B = (
    (4, 0, 0, 0, 0, 0),
    (0, -4, 4, -2, 2, 4),
    (-5, -4, -4, -1, -1, 0),
    (0, 1, -1, 2, -2, -5),
    (1, 1, 1, 1, 1, 0),
    (0, 0, 0, 0, 0, 1),
)
_G = (
    (1 / 4, 0, 0),
    (-1 / 6, -1 / 6, -1 / 6),
    (-1 / 6, 1 / 6, -1 / 6),
    (1 / 24, 1 / 12, 1 / 6),
    (1 / 24, -1 / 12, 1 / 6),
    (0, 0, 1),
)
_A = (
    (1, 0, 0, 0),
    (1, 1, 1, 1),
    (1, -1, 1, -1),
    (1, 2, 4, 8),
    (1, -2, 4, -8),
    (0, 0, 0, 1),
)
_TILES = 200  # in a band: 36 transformed copies of them stay in the cache between two steps


def _winograd(x: Array, w: Array, *, into: int = 3) -> Array:
    """The convolution from one channel axis of `w` to axis `into`: 36 products for each band."""
    (batch, height, width, _), cout = x.shape, w.shape[into]
    bands = _Bands.of(x.shape)
    w32 = w.astype(jnp.float32)
    lines = jnp.stack(_combine(_G, [w32[i] for i in range(3)]))
    # Without the barrier the points of the kernel are computed anew for each band.
    kernel = lax.optimization_barrier(_combine(_G, [lines[:, j] for j in range(3)]))
    product = (((2,), (4 - into,)), ((0,), (0,)))

    def write(out: Array, start: tuple[Array, Array], xb: Array) -> Array:
        pairs = zip(bands.points(_B, xb), kernel, strict=True)
        columns = _combine(_transposed(_A), [lax.dot_general(a, b, product) for a, b in pairs])
        tiles = [_combine(_transposed(_A), list(column)) for column in columns]
        grid = (bands.images, bands.rows, bands.columns, cout)
        # Joined along channels and not along a new axis, which XLA copies at half the speed.
        rows = [
            jnp.concatenate([tile.reshape(grid) for tile in row], -1).astype(x.dtype)
            for row in zip(*tiles, strict=True)
        ]
        band = jnp.stack(rows, 2).reshape(bands.images, 4 * bands.rows, 4 * bands.columns, cout)
        return lax.dynamic_update_slice(out, band, (*start, 0, 0))

    shape = (bands.images * bands.groups, 4 * bands.rows * bands.bands, 4 * bands.columns, cout)
    out = bands.fold(write, jnp.zeros(shape, x.dtype), (x, 1))
    return out[:batch, :height, :width]


def _weight_grad_winograd(x: Array, g: Array) -> Array:
    """The weight gradient: 36 products [cin, tiles] x [tiles, cout], summed over bands."""
    bands = _Bands.of(x.shape)

    def add(total: list[Array], start: tuple[Array, Array], xb: Array, gb: Array) -> list[Array]:
        pairs = zip(bands.points(_B, xb), bands.points(_transposed(_A), gb), strict=True)
        product = (((1,), (1,)), ((0,), (0,)))
        return [t + lax.dot_general(a, b, product) for t, (a, b) in zip(total, pairs, strict=True)]

    zeros = [jnp.zeros((6, x.shape[-1], g.shape[-1]), jnp.float32)] * 6
    total = bands.fold(add, zeros, (x, 1), (g, 0))
    columns = lax.optimization_barrier(_combine(_transposed(_G), total))
    return jnp.stack([jnp.stack(_combine(_transposed(_G), list(c))) for c in columns], 1)


class _Bands(NamedTuple):
    """Images in `groups`, each in `bands` bands of `rows` x `columns` tiles of 4x4 pixels."""

    groups: int
    images: int
    bands: int
    rows: int
    columns: int

    @staticmethod
    def of(shape: tuple[int, ...]) -> _Bands:
        batch, height, width, _ = shape
        rows, columns = -(-height // 4), -(-width // 4)
        groups = min(batch, -(-batch * rows * columns // _TILES))
        images = -(-batch // groups)
        rows = -(-rows // (-(-rows * columns // _TILES) if images == 1 else 1))
        return _Bands(-(-batch // images), images, -(-height // (4 * rows)), rows, columns)

    def fold(self, step: Callable[..., Any], carry: Any, *arrays: tuple[Array, int]) -> Any:
        """`carry = step(carry, (image, row), *bands)` for each band of (array, halo), float32."""
        extra = [(0, self.groups * self.images - len(a)) for a, _ in arrays]
        whole = [jnp.pad(a, (e, *[(0, 0)] * 3)) for (a, _), e in zip(arrays, extra, strict=True)]
        high, wide = 4 * self.rows * self.bands, 4 * self.columns

        def pad(group: Array, halo: int) -> Array:
            below, right = high - group.shape[1] + halo, wide - group.shape[2] + halo
            return jnp.pad(group, ((0, 0), (halo, below), (halo, right), (0, 0)))

        def each_group(i: Array, carry: Any) -> Any:
            image = i * self.images
            groups = [lax.dynamic_slice_in_dim(a, image, self.images) for a in whole]
            padded = [
                pad(group.astype(jnp.float32), halo)
                for group, (_, halo) in zip(groups, arrays, strict=True)
            ]

            def each_band(j: Array, carry: Any) -> Any:
                row = j * 4 * self.rows
                bands = [
                    lax.dynamic_slice_in_dim(p, row, 4 * self.rows + 2 * halo, 1)
                    for p, (_, halo) in zip(padded, arrays, strict=True)
                ]
                return step(carry, (image, row), *bands)

            return lax.fori_loop(0, self.bands, each_band, carry)

        return lax.fori_loop(0, self.groups, each_group, carry)

    def points(self, matrix: Sequence[Sequence[float]], band: Array) -> list[Array]:
        """The 6x6 points of every tile in a band: for each column, [6, tiles, channels]."""
        taps = range(len(matrix))
        rows = [band[:, k : k + 4 * self.rows - 3 : 4] for k in taps]
        lines = jnp.stack(_combine(_transposed(matrix), rows))
        columns = [lines[..., k : k + 4 * self.columns - 3 : 4, :] for k in taps]
        points = _combine(_transposed(matrix), columns)
        return [point.reshape(6, -1, band.shape[-1]) for point in points]


def _transposed(matrix: Sequence[Sequence[float]]) -> list[tuple[float, ...]]:
    return list(zip(*matrix, strict=True))


def _combine(matrix: Sequence[Sequence[float]], terms: Sequence[Array]) -> list[Array]:
    """`matrix` times a vector of arrays, without the products by 0 and 1."""
    rows = []
    for row in matrix:
        parts = [
            term if factor == 1 else factor * term
            for factor, term in zip(row, terms, strict=True)
            if factor
        ]
        rows.append(sum(parts[1:], parts[0]))
    return rows
