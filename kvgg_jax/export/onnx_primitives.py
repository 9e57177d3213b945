"""The primitives of JAX that are more than one operation of the same inputs in ONNX."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from jax.extend.core import JaxprEqn, Literal, Var
from onnx import helper

from kvgg_jax.core.errors import RunError

if TYPE_CHECKING:
    from kvgg_jax.export.onnx_program import Program


def aval_of(var: Var | Literal) -> Any:
    """The shape and the type of a value."""
    return var.aval


def _convolution(program: Program, equation: JaxprEqn) -> str:
    x, kernel = (program.whole(var) for var in equation.invars)
    params, axes = equation.params, equation.params["dimension_numbers"]
    if set(params["lhs_dilation"]) != {1} or params["batch_group_count"] != 1:
        raise RunError("A transposed convolution cannot be exported as onnx yet.")
    low, high = zip(*params["padding"], strict=True)
    y = program.add(
        "Conv",
        program.turned(x, axes.lhs_spec),
        program.turned(kernel, axes.rhs_spec),
        pads=[*low, *high],
        strides=params["window_strides"],
        dilations=params["rhs_dilation"],
        group=params["feature_group_count"],
    )
    return program.turned(y, np.argsort(axes.out_spec).tolist())


def _product(program: Program, equation: JaxprEqn) -> str:
    a, b = (program.whole(var) for var in equation.invars)
    (over_a, over_b), (batch_a, batch_b) = equation.params["dimension_numbers"]
    ranks = [len(aval_of(var).shape) for var in equation.invars]
    if ranks[1] == 2 and (over_a, over_b, batch_a) == ((ranks[0] - 1,), (0,), ()):
        return program.add("MatMul", a, b)
    letters = iter("abcdefghijklmnopqrstuvwxyz")
    left, right = ([next(letters) for _ in range(rank)] for rank in ranks)
    for i, j in (*zip(over_a, over_b, strict=True), *zip(batch_a, batch_b, strict=True)):
        right[j] = left[i]
    kept = [left[i] for i in batch_a]
    kept += [left[i] for i in range(ranks[0]) if i not in (*batch_a, *over_a)]
    kept += [right[j] for j in range(ranks[1]) if j not in (*batch_b, *over_b)]
    text = f"{''.join(left)},{''.join(right)}->{''.join(kept)}"
    return program.add("Einsum", a, b, equation=text)


def _window(program: Program, equation: JaxprEqn) -> str:
    """Pooling, of maps that have their channels last."""
    params = equation.params
    window, strides, padding = (
        params[key] for key in ("window_dimensions", "window_strides", "padding")
    )
    low, high = zip(*padding, strict=True)
    inner = (window[0], window[-1], strides[0], strides[-1], *padding[0], *padding[-1])
    if (
        len(window) != 4
        or inner != (1, 1, 1, 1, 0, 0, 0, 0)
        or set(params["window_dilation"]) != {1}
    ):
        raise RunError("This kind of pooling cannot be exported as onnx yet.")
    x = program.turned(program.whole(equation.invars[0]), (0, 3, 1, 2))
    options = {
        "kernel_shape": window[1:3],
        "strides": strides[1:3],
        "pads": [*low[1:3], *high[1:3]],
    }
    if equation.primitive.name == "reduce_window_max":
        y = program.add("MaxPool", x, **options)
    else:
        mean = program.add("AveragePool", x, count_include_pad=1, **options)
        y = program.add("Mul", mean, program.weight(math.prod(window), np.float32))
    return program.turned(y, (0, 2, 3, 1))


def _broadcast(program: Program, equation: JaxprEqn) -> str:
    """The axes are made; ONNX makes them wide where an operation needs it."""
    (operand, *_), params = equation.invars, equation.params
    shape, places = params["shape"], params["broadcast_dimensions"]
    sides = [1] * len(shape)
    for place, side in zip(places, aval_of(operand).shape, strict=True):
        sides[place] = side
    name = program.name(operand)
    if len(places) < len(shape):
        name = program.reshaped(program.whole(operand), sides)
    same = sides == list(shape)
    return name if same else program.narrow(program.add("Identity", name))


def _select(program: Program, equation: JaxprEqn) -> str:
    """JAX takes the first value where the condition is false."""
    condition, false, true = inputs = [program.name(var) for var in equation.invars]
    return program.spread(program.add("Where", condition, true, false), equation, inputs)


def _cast(program: Program, equation: JaxprEqn) -> str:
    (x,) = inputs = [program.name(var) for var in equation.invars]
    to = helper.np_dtype_to_tensor_dtype(np.dtype(equation.params["new_dtype"]))
    return program.spread(program.add("Cast", x, to=to), equation, inputs)


def _pad(program: Program, equation: JaxprEqn) -> str:
    x, value = program.whole(equation.invars[0]), program.name(equation.invars[1])
    low, high, inside = zip(*equation.params["padding_config"], strict=True)
    if any(inside):
        raise RunError("A padding between pixels cannot be exported as onnx yet.")
    return program.add("Pad", x, program.weight([*low, *high], np.int64), value)


def _slice(program: Program, equation: JaxprEqn) -> str:
    params, x = equation.params, program.whole(equation.invars[0])
    ends, strides = (
        params["limit_indices"],
        params["strides"] or (1,) * len(params["start_indices"]),
    )
    axes = [
        axis for axis, end in enumerate(ends) if isinstance(end, int)
    ]  # of the batch all is kept
    values = [[part[axis] for axis in axes] for part in (params["start_indices"], ends)]
    values += [axes, [strides[axis] for axis in axes]]
    return program.add("Slice", x, *(program.weight(part, np.int64) for part in values))


def _gather(program: Program, equation: JaxprEqn) -> str:
    """A part, or some rows, of each of some axes, which is how JAX writes indexing."""
    operand, indices = equation.invars
    axes, places = equation.params["dimension_numbers"], program.known(indices)
    single = places is not None and places.ndim == 1
    moved = {*axes.collapsed_slice_dims} & {*axes.offset_dims}
    if places is None or axes.operand_batching_dims or (moved and not single):
        raise RunError("This kind of indexing cannot be exported as onnx yet.")
    x, own = program.whole(operand), iter(range(places.ndim - 1))
    if _is_take(equation, places.ndim - 1):
        taken = program.weight(places[..., 0], np.int64)
        return program.add("Gather", x, taken, axis=axes.start_index_map[0])
    for n, axis in enumerate(axes.start_index_map):
        column = np.asarray(places[..., n])
        if single or axis not in axes.collapsed_slice_dims:
            rows, start = np.ravel(column)[:1], int(np.ravel(column)[0])
            x = _cut(program, x, axis, start, start + equation.params["slice_sizes"][axis])
        else:
            side = next(own)
            others = tuple(a for a in range(column.ndim) if a != side)
            rows = np.expand_dims(
                np.moveaxis(column, side, 0).reshape(column.shape[side], -1)[:, 0], others
            )
            x = program.add("Gather", x, program.weight(np.ravel(rows), np.int64), axis=axis)
        if (column != rows).any():
            raise RunError("This kind of indexing cannot be exported as onnx yet.")
    return program.reshaped(x, aval_of(equation.outvars[0]).shape) if single else x


def _is_take(equation: JaxprEqn, rank: int) -> bool:
    """Whether it is whole rows of one axis, whose place the axes of the indices take."""
    axes, sizes = equation.params["dimension_numbers"], equation.params["slice_sizes"]
    if axes.collapsed_slice_dims != axes.start_index_map or len(axes.start_index_map) != 1:
        return False
    (axis,), shape = axes.start_index_map, aval_of(equation.invars[0]).shape
    whole = [n for n, side in enumerate(shape) if n != axis and sizes[n] == side]
    after = [n if n < axis else n + rank - 1 for n in whole]
    return len(whole) == len(shape) - 1 and list(axes.offset_dims) == after


def _cut(program: Program, x: str, axis: int, start: int, end: int) -> str:
    """A part of one axis."""
    return program.add("Slice", x, *(program.weight([n], np.int64) for n in (start, end, axis)))


def _reverse(program: Program, equation: JaxprEqn) -> str:
    axes = equation.params["dimensions"]
    numbers = ([-1] * len(axes), [-(2**31)] * len(axes), axes, [-1] * len(axes))
    x = program.whole(equation.invars[0])
    return program.add("Slice", x, *(program.weight(list(part), np.int64) for part in numbers))


PRIMITIVES: dict[str, Callable[[Program, JaxprEqn], str]] = {
    "broadcast_in_dim": _broadcast,
    "concatenate": lambda p, e: p.add(
        "Concat", *map(p.whole, e.invars), axis=e.params["dimension"]
    ),
    "conv_general_dilated": _convolution,
    "convert_element_type": _cast,
    "dot_general": _product,
    "erfc": lambda p, e: p.add("Sub", p.weight(1, np.float32), p.add("Erf", p.whole(e.invars[0]))),
    "gather": _gather,
    "integer_pow": lambda p, e: p.add(
        "Pow", p.whole(e.invars[0]), p.weight(e.params["y"], np.float32)
    ),
    "pad": _pad,
    "reduce_window_max": _window,
    "reduce_window_sum": _window,
    "reshape": lambda p, e: p.reshaped(p.whole(e.invars[0]), e.params["new_sizes"]),
    "rev": _reverse,
    "rsqrt": lambda p, e: p.add("Reciprocal", p.add("Sqrt", p.whole(e.invars[0]))),
    "select_n": _select,
    "slice": _slice,
    "square": lambda p, e: p.add("Mul", *2 * [p.whole(e.invars[0])]),
    "squeeze": lambda p, e: p.reshaped(p.whole(e.invars[0]), aval_of(e.outvars[0]).shape),
    "tile": lambda p, e: p.add("Tile", p.whole(e.invars[0]), p.shape(e.params["reps"])),
    "transpose": lambda p, e: p.turned(p.whole(e.invars[0]), e.params["permutation"]),
}
