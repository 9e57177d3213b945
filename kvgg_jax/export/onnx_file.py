"""ONNX, of its standard operations (opset 17, which current runtimes read), in float32 or int8.

`onnx_program` writes the program that JAX runs. jax2onnx, which Keras would use, pins an older
orbax-checkpoint and brings a dozen packages. tf2onnx 1.17, by Keras on TensorFlow, takes more than
23 GB of memory for the half gigabyte of weights of VGG16's full head, and cannot write ConvNeXt.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import jax
import numpy as np
import onnx
from jax import export
from numpy.typing import NDArray
from onnx import TensorProto, helper
from onnxruntime import quantization

from kvgg_jax.core.errors import RunError
from kvgg_jax.core.keras_gate import keras
from kvgg_jax.export.graph import OUTPUTS, About, predict_function
from kvgg_jax.export.onnx_program import Program
from kvgg_jax.inference.onnx_session import open_onnx
from kvgg_jax.inference.prediction import PredictFunction

OPSET, IR_VERSION = 17, 8
PRODUCTS = ("Gemm", "MatMul")
LIMIT = 2**31 - 2**20  # bytes: Protobuf holds no more than 2 GiB


def write(model: keras.Model, file: Path, about: About) -> None:
    """uint8 `image` [batch, size, size, 3] -> `OUTPUTS`; `about` in the model's metadata.

    Raises RunError where the weights do not fit in one file.
    """
    weights = sum(4 * int(np.prod(variable.shape)) for variable in model.variables)
    if weights > LIMIT:
        raise RunError(
            f"ONNX holds 2 GiB in a file, and this network has {weights / 2**30:.1f} GiB of "
            "weights. Train it with --head gap, or use --format saved-model."
        )
    size = model.input.shape[1:]
    one = jax.ShapeDtypeStruct((1, *size), "uint8")
    (images,) = export.symbolic_args_specs((one,), "batch, ...")
    traced = jax.jit(predict_function(model)).trace(images)
    names = OUTPUTS[: len(model.outputs)]
    program = Program(traced.jaxpr, "image", names)
    image = helper.make_tensor_value_info("image", TensorProto.UINT8, ("batch", *size))
    outputs = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ("batch", *output.shape[1:]))
        for name, output in zip(names, model.outputs, strict=True)
    ]
    built = helper.make_model(
        helper.make_graph(program.nodes, model.name, [image], outputs, program.weights),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="kvgg_jax",
    )
    helper.set_model_props(built, {key: json.dumps(value) for key, value in about.items()})
    onnx.checker.check_model(built, full_check=True)
    onnx.save(built, file)


def read(file: Path) -> PredictFunction:
    """The model, run by onnxruntime."""
    return open_onnx(file).predict


def quantize(file: Path, images: Iterable[NDArray[np.uint8]]) -> None:
    """Replace `file` by its int8 form; batches of `images` show which values occur.

    Weights have a scale per output channel and 7 of the 8 bits: processors without VNNI would
    overflow (onnxruntime's guide to quantization). The last layer and what follows stay in
    float32: in 8 bits two near classes would be one, and a row would not add up to 1.
    """
    folded = file.with_name(f"{file.stem}.folded.onnx")
    quantization.quant_pre_process(file, folded, skip_symbolic_shape=True)
    nodes = onnx.load(folded).graph.node
    last = max(place for place, node in enumerate(nodes) if node.op_type in PRODUCTS)
    quantization.quantize_static(
        folded,
        file,
        _Reader(images),
        per_channel=True,
        reduce_range=True,
        activation_type=quantization.QuantType.QUInt8,
        weight_type=quantization.QuantType.QInt8,
        nodes_to_exclude=[node.name for node in nodes[last:]],
    )
    folded.unlink()


def _list(tensors: Any) -> list[keras.KerasTensor]:
    return tensors if isinstance(tensors, list) else [tensors]


def _source(tensor: keras.KerasTensor) -> str:
    """The name of the node that makes it."""
    layer = tensor._keras_history.operation
    return "channels_first" if isinstance(layer, keras.layers.InputLayer) else layer.name


class _Reader(quantization.CalibrationDataReader):
    def __init__(self, images: Iterable[NDArray[np.uint8]]) -> None:
        self._images = iter(images)

    def get_next(self) -> dict[str, Any] | None:
        batch = next(self._images, None)
        return None if batch is None else {"image": batch}
