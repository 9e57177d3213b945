"""Programs of JAX in ONNX, primitive by primitive, run by onnxruntime."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export

from kvgg_jax.core.errors import RunError
from support.exports import needs

RNG = np.random.default_rng(0)
IMAGES = RNG.random((3, 9, 8, 4), np.float32)
KERNEL = RNG.normal(0, 0.3, (3, 3, 4, 6)).astype(np.float32)
DEPTHWISE = RNG.normal(0, 0.3, (3, 3, 1, 8)).astype(np.float32)
MATRIX = RNG.normal(0, 0.3, (4, 5)).astype(np.float32)


def conv(x: Any, kernel: Any, **options: Any) -> Any:
    layout = ("NHWC", "HWIO", "NHWC")
    return jax.lax.conv_general_dilated(x, kernel, dimension_numbers=layout, **options)


def mean_pool(x: Any) -> Any:
    """As Keras does: sums of windows over the counts of their pixels."""
    window = {"window_dimensions": (1, 3, 3, 1), "window_strides": (1, 2, 2, 1), "padding": "SAME"}
    sums = jax.lax.reduce_window(x, 0.0, jax.lax.add, **window)
    return sums / jax.lax.reduce_window(jnp.ones(x.shape[1:])[None], 0.0, jax.lax.add, **window)


def attention(x: Any) -> Any:
    tokens = x.reshape(x.shape[0], -1, 4)
    scores = jax.nn.softmax(jnp.einsum("bqc,bkc->bqk", tokens, tokens))
    return jnp.einsum("bqk,bkc->bqc", scores, tokens)


def with_class_token(x: Any) -> Any:
    token = jnp.broadcast_to(jnp.asarray(MATRIX[:, 0]), (x.shape[0], 1, 4))
    return jnp.concatenate([token, x.reshape(x.shape[0], -1, 4)], axis=1)[:, 0]


PROGRAMS: dict[str, Callable[[Any], Any]] = {
    "convolution": lambda x: conv(x, KERNEL, window_strides=(1, 1), padding="SAME"),
    "strided": lambda x: conv(x, KERNEL, window_strides=(2, 2), padding="SAME"),
    "dilated": lambda x: conv(
        x, KERNEL, window_strides=(1, 1), padding="VALID", rhs_dilation=(2, 2)
    ),
    "depthwise": lambda x: conv(
        x, DEPTHWISE, window_strides=(2, 2), padding="SAME", feature_group_count=4
    ),
    "maximum": lambda x: jax.lax.reduce_window(
        x, -jnp.inf, jax.lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID"
    ),
    "mean": mean_pool,
    "product": lambda x: x @ MATRIX + MATRIX[0],
    "attention": attention,
    "class token": with_class_token,
    "gelu": lambda x: jax.nn.gelu(x - 0.5, approximate=False),
    "activations": lambda x: jax.nn.relu6(9 * x) + jax.nn.silu(x) + jnp.tanh(x) + jax.nn.relu(x),
    "normalization": lambda x: jax.nn.standardize(x, axis=-1),
    "choice": lambda x: jnp.where(x > 0.5, x**3, jnp.sqrt(x)),
    "padding": lambda x: jnp.pad(x, ((0, 0), (1, 2), (0, 1), (0, 0)))[:, 1:-1, ::2],
    "reversal": lambda x: x[..., ::-1],
    "largest": lambda x: x.max(axis=(1, 2)),
}  # fmt: skip


def write(function: Callable[[Any], Any]) -> bytes:
    import onnx
    from onnx import TensorProto, helper

    from kvgg_jax.export.onnx_program import Program

    one = jax.ShapeDtypeStruct((1, *IMAGES.shape[1:]), "float32")
    (images,) = export.symbolic_args_specs((one,), "batch, ...")
    traced = jax.jit(function).trace(images)
    program = Program(traced.jaxpr, "image", ["found"])
    values = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ("batch", *array.shape[1:]))
        for name, array in (("image", one), ("found", traced.out_info))
    ]
    graph = helper.make_graph(program.nodes, "x", values[:1], values[1:], program.weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString()


@pytest.mark.extras
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
@pytest.mark.parametrize("name", PROGRAMS)
def test_onnxruntime_computes_what_jax_computes(name: str) -> None:
    """For batches of three and of one."""
    needs("onnx")
    import onnxruntime

    session = onnxruntime.InferenceSession(write(PROGRAMS[name]))
    for images in (IMAGES, IMAGES[:1]):
        (found,) = session.run(None, {"image": images})
        np.testing.assert_allclose(found, PROGRAMS[name](images), rtol=1e-5, atol=1e-5)


@pytest.mark.extras
def test_what_has_no_counterpart_is_named() -> None:
    """Before anything is written."""
    needs("onnx")
    with pytest.raises(RunError) as caught:
        write(lambda x: jnp.sort(x, axis=1))
    assert str(caught.value) == "The network computes 'sort', which cannot be exported as onnx yet."
