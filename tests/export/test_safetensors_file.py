"""safetensors hold the weights, and in the header what rebuilds the network."""

from __future__ import annotations

import json
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


def test_safetensors_has_the_weights_to_the_bit(drawn: Classifier, tmp_path: Path) -> None:
    """By layer name, with the settings and classes that rebuild the network in the header."""
    needs("safetensors")
    from safetensors import safe_open

    result = export("safetensors", drawn, output=tmp_path / "x.safetensors")
    params, state = drawn.weights
    kept = {k: v for k, v in {**params, **state}.items() if "seed_generator" not in k}
    with safe_open(result.path, framework="numpy") as file:
        assert set(file.keys()) == set(kept)
        for name, values in kept.items():
            np.testing.assert_array_equal(file.get_tensor(name), values)
        found = {key: json.loads(value) for key, value in file.metadata().items()}
    assert found["classes"] == CLASSES
    assert found["model"] == drawn.config.model.model_dump(exclude={"weights", "freeze"})
    assert result.path.stat().st_mode & 0o044  # save_file would let nobody else read it


def test_weights_alone_have_the_temperature_in_their_header(
    calibrated: Classifier, tmp_path: Path
) -> None:
    """And what to do with it."""
    needs("safetensors")
    from safetensors import safe_open

    for raw, temperature, divided in ((False, 2.5, "logits / temperature"), (True, None, "logits")):
        file = tmp_path / f"{raw}.safetensors"
        assert export("safetensors", calibrated, output=file, raw=raw).difference <= 1e-4
        with safe_open(file, framework="numpy") as opened:
            found = {key: json.loads(value) for key, value in opened.metadata().items()}
        assert found["temperature"] == temperature
        assert found["output"] == (
            f"the weights alone: softmax({divided}), in the order of classes"
        )
