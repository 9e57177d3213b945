"""safetensors: the weights alone, by layer name, with what is needed to build the network."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save

from kvgg_jax.core.keras_gate import keras
from kvgg_jax.core.tables.model import ModelConfig
from kvgg_jax.export.graph import About, portable, predict_function
from kvgg_jax.inference.prediction import PredictFunction
from kvgg_jax.models.build import vgg


def write(model: keras.Model, file: Path, about: About) -> None:
    """Weights by Keras' names (`layer/kernel`), and `about` in the header."""
    arrays = {variable.path: np.asarray(variable.value) for variable in model.variables}
    logits = "logits" if about["temperature"] is None else "logits / temperature"
    about = about | {
        "preprocessing": "the weights alone: divide by 255 before",
        "output": f"the weights alone: softmax({logits}), in the order of classes",
    }
    # not save_file, which lets nobody else read the file
    file.write_bytes(save(arrays, {key: json.dumps(value) for key, value in about.items()}))


def read(file: Path) -> PredictFunction:
    """The network built anew by the header, with the file's weights."""
    with safe_open(file, framework="numpy") as opened:
        about: dict[str, Any] = {k: json.loads(v) for k, v in opened.metadata().items()}
        bare = vgg(
            ModelConfig(**about["model"]),
            classes=len(about["classes"]),
            image_size=about["image_size"],
            seed=None,
        )
        model = portable(bare, about["temperature"])
        assert sorted(opened.keys()) == sorted(variable.path for variable in model.variables)
        for variable in model.variables:
            variable.assign(opened.get_tensor(variable.path))
    return predict_function(model)
