"""A SavedModel is written by Keras on TensorFlow, in a process of its own."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from kvgg_jax.core.errors import RunError
from kvgg_jax.core.keras_gate import keras
from kvgg_jax.export import saved_model
from kvgg_jax.export.exporter import Export
from kvgg_jax.inference.temperature import apply_temperature
from support.exports import CLASSES

pytestmark = [
    pytest.mark.usefixtures("thin_network"),
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),  # Keras' own
]


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        ("raise ValueError('no such operation')", "ValueError: no such operation"),
        ("raise SystemExit(9)", "it ended with 9"),
    ],
)
def test_what_tensorflow_cannot_write_is_answered_with_its_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str, reason: str
) -> None:
    """And nothing is left beside the file."""
    child = tmp_path / "child.py"
    child.write_text(program)
    monkeypatch.setattr(saved_model, "CHILD", child)
    image = keras.Input((4, 4, 3))
    model = keras.Model(image, keras.layers.Flatten()(image))
    with pytest.raises(RunError) as caught:
        saved_model.write(model, tmp_path / "x", {})
    assert str(caught.value) == f"TensorFlow cannot write the network: {reason}"
    assert list(tmp_path.iterdir()) == [child]


def test_a_disk_that_is_full_is_reported_as_such(tmp_path, monkeypatch) -> None:
    """TensorFlow has an exception of its own for it, of many lines."""
    child = tmp_path / "child.py"
    child.write_text("raise ValueError('ResourceExhausted: x.tmp; No space left on device')")
    monkeypatch.setattr(saved_model, "CHILD", child)
    image = keras.Input((4, 4, 3))
    model = keras.Model(image, keras.layers.Flatten()(image))
    with pytest.raises(OSError, match="No space left on device"):
        saved_model.write(model, tmp_path / "x", {})


def test_tensorflow_serves_it_with_its_own_operations(
    saved_model_export: Export, images: np.ndarray, expected: np.ndarray
) -> None:
    """None of XLA's, so that TensorFlow Lite and any device take it; classes inside."""
    from kvgg_jax.core.tf_gate import tf

    loaded = tf.saved_model.load(str(saved_model_export.path))
    serve = loaded.signatures["serving_default"]
    found = serve(tf.constant(images))["probabilities"].numpy()
    np.testing.assert_allclose(found, apply_temperature(expected, 2.5), rtol=0, atol=1e-4)
    graph = serve.graph.as_graph_def()
    used = {n.op for f in graph.library.function for n in f.node_def}
    assert {"Conv2D", "MaxPool", "MatMul", "Softmax"} <= used
    assert not any("Xla" in op for op in used)
    beside = json.loads((saved_model_export.path / "assets.extra" / "classes.json").read_text())
    assert beside["classes"] == CLASSES
    assert saved_model_export.size == sum(
        f.stat().st_size for f in saved_model_export.path.rglob("*") if f.is_file()
    )
