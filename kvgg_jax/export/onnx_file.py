"""ONNX, of its standard operations (opset 17, which current runtimes read), in float32 or int8.

jax2onnx, which Keras would use, pins an older orbax-checkpoint and brings thirty packages. tf2onnx
1.17, by Keras on TensorFlow, is as exact, but takes more than 23 GB of memory for the half gigabyte
of weights of VGG16's full head, where this takes 4. Each of these layers is one operation of ONNX.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from onnxruntime import quantization

from kvgg_jax.core.errors import RunError
from kvgg_jax.core.keras_gate import keras
from kvgg_jax.export.graph import About, not_known
from kvgg_jax.inference.onnx_session import open_onnx
from kvgg_jax.inference.prediction import PredictFunction

OPSET, IR_VERSION = 17, 8
LIMIT = 2**31 - 2**20  # bytes: Protobuf holds no more than 2 GiB


def write(model: keras.Model, file: Path, about: About) -> None:
    """uint8 `image` [batch, size, size, 3] -> `probabilities`; `about` in the model's metadata.

    Raises RunError where the weights do not fit in one file.
    """
    weights = sum(4 * int(np.prod(variable.shape)) for variable in model.variables)
    if weights > LIMIT:
        raise RunError(
            f"ONNX holds 2 GiB in a file, and this network has {weights / 2**30:.1f} GiB of "
            "weights. Train it with --head gap, or use --format saved-model."
        )
    graph = _Graph()
    x = graph.add("Cast", ["image"], "as_float", to=TensorProto.FLOAT)
    graph.add("Transpose", [x], "channels_first", perm=(0, 3, 1, 2))
    for layer in model.layers[1:]:
        x = graph.layer(layer, [_source(tensor) for tensor in _list(layer.input)])
    image = helper.make_tensor_value_info(
        "image", TensorProto.UINT8, ("batch", *model.input.shape[1:])
    )
    shape = ("batch", model.output.shape[1])
    output = helper.make_tensor_value_info(x, TensorProto.FLOAT, shape)
    built = helper.make_model(
        helper.make_graph(graph.nodes, model.name, [image], [output], graph.weights),
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
    last = max(place for place, node in enumerate(nodes) if node.op_type == "Gemm")
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


class _Graph:
    """Nodes and weights as they are added. Images have channels first, as ONNX wants them."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []

    def add(self, kind: str, inputs: list[str], name: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(kind, inputs, [name], name=name, **attributes))
        return name

    def weight(self, name: str, values: Any) -> str:
        array = np.ascontiguousarray(values, np.float32)
        self.weights.append(numpy_helper.from_array(array, name))
        return name

    def layer(self, layer: keras.Layer, inputs: list[str]) -> str:
        name, x = layer.name, inputs[0]
        match layer:
            case keras.layers.Rescaling():
                self.add("Mul", [x, self.weight(f"{name}/scale", layer.scale)], name)
            case keras.layers.Conv2D():
                kernel = np.asarray(layer.kernel.value).transpose(3, 2, 0, 1)
                pads = [side // 2 for side in layer.kernel_size] * 2  # "same", at stride 1
                self._weighted("Conv", layer, x, kernel, pads=pads)
            case keras.layers.Dense():
                self._weighted("Gemm", layer, x, layer.kernel.value)
            case keras.layers.BatchNormalization():
                blank = np.zeros(layer.moving_mean.shape)
                parts = {
                    "gamma": layer.gamma.value if layer.scale else blank + 1,
                    "beta": layer.beta.value if layer.center else blank,
                    "mean": layer.moving_mean.value,
                    "variance": layer.moving_variance.value,
                }
                values = [self.weight(f"{name}/{part}", value) for part, value in parts.items()]
                self.add("BatchNormalization", [x, *values], name, epsilon=layer.epsilon)
            case keras.layers.MaxPooling2D():
                window = {"kernel_shape": layer.pool_size, "strides": layer.strides}
                self.add("MaxPool", [x], name, **window)
            case keras.layers.GlobalAveragePooling2D():
                self.add("Flatten", [self.add("GlobalAveragePool", [x], f"{name}/2d")], name)
            case keras.layers.GlobalMaxPooling2D():
                self.add("Flatten", [self.add("GlobalMaxPool", [x], f"{name}/2d")], name)
            case keras.layers.Concatenate() if layer.output.shape[1:-1] == ():
                self.add("Concat", inputs, name, axis=-1)
            case keras.layers.Flatten():
                # in the order of Keras, which has channels last
                x = self.add("Transpose", [x], f"{name}/channels_last", perm=(0, 2, 3, 1))
                self.add("Flatten", [x], name)
            case keras.layers.ReLU():
                self.add("Relu", [x], name)
            case keras.layers.Softmax():
                self.add("Softmax", [x], name, axis=-1)
            case _:
                raise not_known(layer, "onnx")
        return name

    def _weighted(
        self, kind: str, layer: keras.Layer, x: str, kernel: Any, **attributes: Any
    ) -> str:
        inputs = [x, self.weight(layer.kernel.path, kernel)]
        if layer.use_bias:
            inputs.append(self.weight(layer.bias.path, layer.bias.value))
        if layer.activation is keras.activations.linear:
            return self.add(kind, inputs, layer.name, **attributes)
        linear = self.add(kind, inputs, f"{layer.name}/linear", **attributes)
        return self.add("Relu", [linear], layer.name)
