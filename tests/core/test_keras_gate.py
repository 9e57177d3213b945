"""Keras enters on JAX, whatever its settings file holds."""

from __future__ import annotations

import builtins
import runpy
from pathlib import Path
from typing import Any

import pytest

from kvgg_jax.core import keras_gate
from kvgg_jax.core.errors import KvggError


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (ValueError("Invalid `floatx` configuration."), "Invalid `floatx` configuration."),
        (
            AttributeError("'list' object has no attribute 'get'"),
            "'list' object has no attribute 'get'",
        ),
        (PermissionError(13, "Permission denied"), "[Errno 13] Permission denied"),
        (TypeError(), "TypeError"),
    ],
)
def test_a_settings_file_that_keras_cannot_use_is_an_error_that_names_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, error: Exception, why: str
) -> None:
    """Keras raises these as it is imported: for a value, for another JSON, for no permission."""
    real = builtins.__import__

    def fail(name: str, *args: Any) -> Any:
        if name == "keras":
            raise error
        return real(name, *args)

    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setattr(builtins, "__import__", fail)
    with pytest.raises(KvggError) as caught:
        runpy.run_path(str(keras_gate.__file__))
    assert str(caught.value) == (
        f"Keras cannot use its settings ({why}). Correct or remove {tmp_path / 'keras.json'}."
    )
