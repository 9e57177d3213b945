"""A program of JAX as an ONNX graph: each primitive is one standard operation, or a few.

It knows no layers, so a network of Keras Applications, of KerasHub or of a user needs nothing here.
Each value has the axes that it has in JAX; convolutions turn theirs, which onnxruntime undoes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
import onnx
from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn, Literal, Var
from onnx import helper, numpy_helper

from kvgg_jax.core.errors import RunError

UNARY = {
    "abs": "Abs", "copy": "Identity", "cos": "Cos", "erf": "Erf", "exp": "Exp", "floor": "Floor",
    "log": "Log", "logistic": "Sigmoid", "neg": "Neg", "not": "Not", "sign": "Sign", "sin": "Sin",
    "sqrt": "Sqrt", "stop_gradient": "Identity", "tanh": "Tanh",
}  # fmt: skip
BINARY = {
    "add": "Add", "and": "And", "div": "Div", "eq": "Equal", "ge": "GreaterOrEqual",
    "gt": "Greater", "le": "LessOrEqual", "lt": "Less", "max": "Max", "min": "Min", "mul": "Mul",
    "or": "Or", "pow": "Pow", "sub": "Sub",
}  # fmt: skip
REDUCTIONS = {"reduce_max": "ReduceMax", "reduce_min": "ReduceMin", "reduce_sum": "ReduceSum"}
CALLS = {"jit", "pjit", "closed_call", "custom_jvp_call", "custom_vjp_call", "remat", "checkpoint"}


class Program:
    """Nodes and weights of a program of one input and one output, which are given names."""

    def __init__(self, program: ClosedJaxpr, image: str, output: str) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []
        self._image, self._names = image, dict[Var, str]()
        self._narrow: set[str] = set()  # values that are still to be broadcast to their shapes
        self._known = dict[Var, Any]()  # places, such as those of a slice
        last = self._run(program.jaxpr, program.consts, [image])
        self.nodes.append(helper.make_node("Identity", last, [output], name=output))

    def _run(self, jaxpr: Jaxpr, consts: Sequence[Any], inputs: Sequence[str]) -> list[str]:
        """Add the equations of `jaxpr`; the names of its outputs."""
        for var, value in zip(jaxpr.constvars, consts, strict=True):
            self._names[var] = self.weight(value)
        self._names.update(zip(jaxpr.invars, inputs, strict=True))
        for equation in jaxpr.eqns:
            self._note_places(equation)
            names = self._equation(equation)
            self._names.update(zip(equation.outvars, names, strict=True))
        return [self.name(var) for var in jaxpr.outvars]

    def _note_places(self, equation: JaxprEqn) -> None:
        values = [self.known(var) for var in equation.invars]
        out = equation.outvars[0]
        if jnp.issubdtype(out.aval.dtype, jnp.integer) and not any(one is None for one in values):
            self._known[out] = np.asarray(equation.primitive.bind(*values, **equation.params))

    def _equation(self, equation: JaxprEqn) -> list[str]:
        kind, params = equation.primitive.name, equation.params
        if kind in CALLS:
            inner = params.get("jaxpr") or params["call_jaxpr"]
            inputs = [self.name(var) for var in equation.invars]
            if isinstance(inner, ClosedJaxpr):
                return self._run(inner.jaxpr, inner.consts, inputs)
            return self._run(inner, (), inputs)
        if kind in UNARY:
            return [self._elementwise(UNARY[kind], equation)]
        if kind in BINARY:
            return [self._elementwise(BINARY[kind], equation)]
        if kind in REDUCTIONS:
            return [self._reduce(REDUCTIONS[kind], equation)]
        if kind not in PRIMITIVES:
            raise RunError(f"The network computes {kind!r}, which cannot be exported as onnx yet.")
        return [PRIMITIVES[kind](self, equation)]

    def add(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """A node of one output; its name."""
        name = f"{kind}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [name], name=name, **attributes))
        return name

    def weight(self, values: Any, dtype: Any = None) -> str:
        """A constant; its name."""
        name = f"weight_{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.asarray(values, dtype), name))
        return name

    def name(self, var: Var | Literal) -> str:
        """A value, which may be narrower than its shape says, as ONNX broadcasts by itself."""
        if isinstance(var, Literal):
            return self.weight(var.val, var.aval.dtype)
        return self._names[var]

    def known(self, var: Var | Literal) -> Any:
        """The value of a whole number that does not depend on the images; else None."""
        return var.val if isinstance(var, Literal) else self._known.get(var)

    def whole(self, var: Var | Literal) -> str:
        """A value in its whole shape."""
        name = self.name(var)
        if name not in self._narrow:
            return name
        return self.add("Expand", name, self._shape(var.aval.shape))

    def _shape(self, shape: Sequence[Any]) -> str:
        """A shape as a value; the number of images in it is that of the input."""
        if all(isinstance(side, int) for side in shape):
            return self.weight(shape, np.int64)
        start, end = self.weight([0], np.int64), self.weight([1], np.int64)
        batch = self.add("Slice", self.add("Shape", self._image), start, end)
        parts = [self.weight([s], np.int64) if isinstance(s, int) else batch for s in shape]
        return self.add("Concat", *parts, axis=0)

    def reshaped(self, name: str, shape: Sequence[Any]) -> str:
        """A value with other axes."""
        sides = [side if isinstance(side, int) else -1 for side in shape]
        return self.add("Reshape", name, self.weight(sides, np.int64))

    def turned(self, name: str, axes: Sequence[int]) -> str:
        """A value with its axes in another order."""
        return name if list(axes) == sorted(axes) else self.add("Transpose", name, perm=axes)

    def _elementwise(self, kind: str, equation: JaxprEqn) -> str:
        inputs = [self.name(var) for var in equation.invars]
        return self.spread(self.add(kind, *inputs), equation, inputs)

    def spread(self, name: str, equation: JaxprEqn, inputs: Sequence[str]) -> str:
        """`name`, marked as narrow where none of its inputs has the whole shape."""
        shape = equation.outvars[0].aval.shape
        pairs = zip(equation.invars, inputs, strict=True)
        if not any(i not in self._narrow and var.aval.shape == shape for var, i in pairs):
            self._narrow.add(name)
        return name

    def narrow(self, name: str) -> str:
        """`name`, marked as narrow."""
        self._narrow.add(name)
        return name

    def _reduce(self, kind: str, equation: JaxprEqn) -> str:
        x, axes = self.whole(equation.invars[0]), equation.params["axes"]
        if kind == "ReduceSum":  # since opset 13 its axes are an input
            return self.add(kind, x, self.weight(axes, np.int64), keepdims=0)
        return self.add(kind, x, axes=axes, keepdims=0)


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
    ranks = [len(var.aval.shape) for var in equation.invars]
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
    for place, side in zip(places, operand.aval.shape, strict=True):
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
    strides = params["strides"] or (1,) * len(params["start_indices"])
    return _cut(program, x, params["start_indices"], params["limit_indices"], strides)


def _cut(program: Program, x: str, *bounds: Sequence[Any]) -> str:
    """Slice all axes by (starts, ends, steps); one that ends with the batch is whole."""
    starts, ends, steps = bounds
    axes = [axis for axis, end in enumerate(ends) if isinstance(end, int)]
    values = ([part[axis] for axis in axes] for part in (starts, ends, steps))
    first, last, step = (program.weight(list(part), np.int64) for part in values)
    return program.add("Slice", x, first, last, program.weight(axes, np.int64), step)


def _gather(program: Program, equation: JaxprEqn) -> str:
    """Slices, and some places of one axis, which is how JAX writes indexing."""
    operand, indices = equation.invars
    axes, sizes = equation.params["dimension_numbers"], equation.params["slice_sizes"]
    places, x = program.known(indices), program.whole(operand)
    if places is None or axes.operand_batching_dims:
        raise RunError("Indexing by values cannot be exported as onnx yet.")
    if places.ndim == 1:
        starts = dict(zip(axes.start_index_map, places.tolist(), strict=True))
        start = [starts.get(axis, 0) for axis in range(len(sizes))]
        end = [
            low + side if isinstance(side, int) else side
            for low, side in zip(start, sizes, strict=True)
        ]
        y = _cut(program, x, start, end, [1] * len(sizes))
        return program.reshaped(y, equation.outvars[0].aval.shape)
    (axis,) = axes.start_index_map
    if axes.collapsed_slice_dims != (axis,) or axis in axes.offset_dims:
        raise RunError("This kind of indexing cannot be exported as onnx yet.")
    return program.add("Gather", x, program.weight(places[..., 0], np.int64), axis=axis)


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
    "squeeze": lambda p, e: p.reshaped(p.whole(e.invars[0]), e.outvars[0].aval.shape),
    "transpose": lambda p, e: p.turned(p.whole(e.invars[0]), e.params["permutation"]),
}
