"""`.keras`: loads in plain Keras 3 on any backend, without this package."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from kvgg_jax.core.keras_gate import keras
from kvgg_jax.export.graph import About, check_layers, predict_function, write_beside
from kvgg_jax.inference.prediction import PredictFunction


def write(model: keras.Model, file: Path, about: About) -> None:
    """Save a `portable` model, and `about` beside it: Keras keeps no metadata of ours."""
    check_layers(model)
    model.save(file)
    write_beside(file, about)


def read(file: Path) -> PredictFunction:
    """The model as Keras loads it in safe mode."""
    return predict_function(keras.saving.load_model(file, compile=False, safe_mode=True))


def quantize(file: Path, images: Iterable[Any]) -> None:
    """Replace `file` by its int8 form: Keras quantizes only Dense layers, and needs no photos."""
    model = keras.saving.load_model(file, compile=False, safe_mode=True)
    model.quantize("int8", filters=lambda layer: isinstance(layer, keras.layers.Dense))
    model.save(file)
