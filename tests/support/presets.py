"""A preset of KerasHub: a small ViT with weights and an image converter."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np

from kvgg_jax.core.keras_gate import keras  # noqa: F401 - on JAX


def save_vit(folder: Path) -> Path:
    """As `save_to_preset` writes it, for images of 32 pixels."""
    import keras_hub

    vit = keras_hub.models.ViTBackbone(
        image_shape=(32, 32, 3), patch_size=8, num_layers=2, num_heads=2, hidden_dim=16, mlp_dim=32
    )
    rng = np.random.default_rng(0)
    for variable in vit.variables:
        if variable.dtype == "float32":
            variable.assign(rng.normal(0, 0.1, variable.shape))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Keras' own
        vit.save_to_preset(str(folder))
    keras_hub.layers.ViTImageConverter(
        image_size=(32, 32), scale=1 / 127.5, offset=-1.0
    ).save_to_preset(str(folder))
    return folder
