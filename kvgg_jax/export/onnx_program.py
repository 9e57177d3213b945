"""A program of JAX as an ONNX graph: each primitive is one standard operation, or a few.

It knows no layers, so a network of Keras Applications, of KerasHub or of a user needs nothing here.
Each value has the axes that it has in JAX; convolutions turn theirs, which onnxruntime undoes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn, Literal, Var
from onnx import helper, numpy_helper

from kvgg_jax.core.errors import RunError
from kvgg_jax.export.onnx_primitives import PRIMITIVES, aval_of

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


def _is_place(var: Var) -> bool:
    """Whether it holds whole numbers or truths, such as the places of a slice."""
    return aval_of(var).dtype.kind in "iub"


class Program:
    """Nodes and weights of a program of one input and some outputs, which are given names."""

    def __init__(self, program: ClosedJaxpr, image: str, outputs: Sequence[str]) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []
        self._image, self._names = image, dict[Var, str]()
        self._narrow: set[str] = set()  # values that are still to be broadcast to their shapes
        self._known = dict[Var, Any]()  # places, such as those of a slice
        found = self._run(program.jaxpr, program.consts, [image])
        for name, output in zip(found, outputs, strict=True):
            self.nodes.append(helper.make_node("Identity", [name], [output], name=output))

    def _run(self, jaxpr: Jaxpr, consts: Sequence[Any], inputs: Sequence[str]) -> list[str]:
        """Add the equations of `jaxpr`; the names of its outputs."""
        for var, value in zip(jaxpr.constvars, consts, strict=True):
            if _is_place(var):
                self._known[var] = np.asarray(value)
            else:
                self._names[var] = self.weight(value)
        self._names.update(zip(jaxpr.invars, inputs, strict=True))
        for equation in jaxpr.eqns:
            if not self._is_known(equation):
                names = self._equation(equation)
                self._names.update(zip(equation.outvars, names, strict=True))
        return [self.name(var) for var in jaxpr.outvars]

    def _is_known(self, equation: JaxprEqn) -> bool:
        """Whether its value is a place that depends on no image; then it is computed now."""
        out = equation.outvars[0]
        values = [self.known(var) for var in equation.invars]
        self._known.pop(out, None)  # of another call of the same function
        if len(equation.outvars) > 1 or not _is_place(out) or any(one is None for one in values):
            return False
        found = equation.primitive.bind(*values, **equation.params)
        self._known[out] = np.asarray(found[0] if equation.primitive.multiple_results else found)
        return True

    def _call(self, equation: JaxprEqn) -> list[str]:
        """A function inside, in place."""
        inner = equation.params.get("jaxpr") or equation.params["call_jaxpr"]
        closed = inner if isinstance(inner, ClosedJaxpr) else ClosedJaxpr(inner, ())
        for var, given in zip(closed.jaxpr.invars, equation.invars, strict=True):
            self._known[var] = self.known(given)
        inputs = ["" if self.known(var) is not None else self.name(var) for var in equation.invars]
        return self._run(closed.jaxpr, closed.consts, inputs)

    def _equation(self, equation: JaxprEqn) -> list[str]:
        kind = equation.primitive.name
        if kind in CALLS:
            return self._call(equation)
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
        known = self.known(var)
        if known is not None or isinstance(var, Literal):
            return self.weight(known, aval_of(var).dtype)
        return self._names[var]

    def known(self, var: Var | Literal) -> Any:
        """The value of a whole number that does not depend on the images; else None."""
        return var.val if isinstance(var, Literal) else self._known.get(var)

    def whole(self, var: Var | Literal) -> str:
        """A value in its whole shape."""
        name = self.name(var)
        if name not in self._narrow:
            return name
        return self.add("Expand", name, self.shape(aval_of(var).shape))

    def shape(self, shape: Sequence[Any]) -> str:
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
        shape = aval_of(equation.outvars[0]).shape
        pairs = zip(equation.invars, inputs, strict=True)
        if not any(i not in self._narrow and aval_of(var).shape == shape for var, i in pairs):
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
