"""ONNX files are read by onnxruntime alone."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from kvgg_jax import export
from kvgg_jax.inference.classifier import Classifier
from support.exports import CLASSES, needs

pytestmark = [
    pytest.mark.usefixtures("thin_network"),
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),  # Keras' own
]


@pytest.mark.extras
def test_onnxruntime_runs_it(
    drawn: Classifier, images: np.ndarray, expected: np.ndarray, tmp_path: Path
) -> None:
    """Nodes are ONNX's own; classes are in the metadata."""
    needs("onnx")
    import onnx
    import onnxruntime

    result = export("onnx", drawn, output=tmp_path / "x.onnx")
    session = onnxruntime.InferenceSession(result.path)
    (found,) = session.run(["probabilities"], {"image": images})
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)
    (single,) = session.run(None, {"image": images[:1]})
    np.testing.assert_allclose(single, expected[:1], rtol=0, atol=1e-4)
    found = session.get_modelmeta().custom_metadata_map
    assert json.loads(found["classes"]) == CLASSES
    graph = onnx.load(result.path).graph
    kinds = Counter(node.op_type for node in graph.node)
    assert [kinds[kind] for kind in ("Conv", "MaxPool", "MatMul")] == [5, 5, 3]
    assert {node.domain for node in graph.node} == {""}
