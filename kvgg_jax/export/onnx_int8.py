"""Static int8 for an ONNX file: weights and activations in 8 bits, by onnxruntime's own tool."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnxruntime import quantization


def quantize(file: Path, images: Iterable[NDArray[np.uint8]]) -> None:
    """Replace `file` by its int8 kin; `images` (batches, uint8) show it what values come.

    Weights have a scale an output channel and 7 bits of the 8: processors without VNNI would
    overflow (onnxruntime's guide to quantization). The last layer and what makes probabilities of
    it stay in float32: in 8 bits two near classes would be one, and a row would not add up to 1.
    """
    folded = file.with_name(f"{file.stem}.folded.onnx")
    quantization.quant_pre_process(file, folded, skip_symbolic_shape=True)
    quantization.quantize_static(
        folded,
        file,
        _Reader(images),
        per_channel=True,
        reduce_range=True,
        activation_type=quantization.QuantType.QUInt8,
        weight_type=quantization.QuantType.QInt8,
        nodes_to_exclude=_from_the_last_layer(folded),
    )
    folded.unlink()


def _from_the_last_layer(file: Path) -> list[str]:
    nodes = onnx.load(file).graph.node
    last = max(place for place, node in enumerate(nodes) if node.op_type == "Gemm")
    return [node.name for node in nodes[last:]]


class _Reader(quantization.CalibrationDataReader):
    def __init__(self, images: Iterable[NDArray[np.uint8]]) -> None:
        self._images = iter(images)

    def get_next(self) -> dict[str, Any] | None:
        batch = next(self._images, None)
        return None if batch is None else {"image": batch}
