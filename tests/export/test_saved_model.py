"""A SavedModel is written by Keras on TensorFlow, in a process of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from kvgg_jax.core.errors import RunError
from kvgg_jax.core.keras_gate import keras
from kvgg_jax.export import saved_model


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
    assert str(caught.value) == f"TensorFlow cannot write the network as saved-model: {reason}"
    assert list(tmp_path.iterdir()) == [child]
