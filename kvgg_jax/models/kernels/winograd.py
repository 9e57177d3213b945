"""Winograd's F(4x4, 3x3) for convolutions, in bands that stay in the processor's cache.

Lavin & Gray 2016, arXiv:1509.09308, section 4.3: in 6x6 points, a tile of 4x4 outputs is 36
products where the direct form has 144. `conv.plan` says where it is faster.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
from jax import Array, lax

# `B`, `G` and `A` of the paper
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


def convolve(x: Array, w: Array, *, into: int = 3) -> Array:
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


def weight_grad(x: Array, g: Array) -> Array:
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
