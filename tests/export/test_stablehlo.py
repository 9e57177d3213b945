"""StableHLO is run by `jax.export` alone."""

from __future__ import annotations

from pathlib import Path

import jax
import numpy as np
import pytest

from kvgg_jax import export
from kvgg_jax.core.keras_gate import keras
from kvgg_jax.inference.classifier import Classifier
from support.exports import CLASSES, about

pytestmark = [
    pytest.mark.usefixtures("thin_network"),
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),  # Keras' own
]


def test_jax_export_runs_it_for_any_batch(
    drawn: Classifier, images: np.ndarray, expected: np.ndarray, tmp_path: Path
) -> None:
    """Stock operations alone: a convolution a layer and platform, and none of the loops that the
    fast one is made of; classes beside it."""
    result = export("stablehlo", drawn, output=tmp_path / "x.stablehlo")
    program = jax.export.deserialize(bytearray(result.path.read_bytes()))
    for count in (len(images), 1):
        found = program.call(images[:count])
        np.testing.assert_allclose(found, expected[:count], rtol=0, atol=1e-4)
    assert program.platforms == ("cpu", "cuda", "rocm", "tpu")
    text = program.mlir_module()
    convolutions = [one for one in drawn.model.layers if isinstance(one, keras.layers.Conv2D)]
    assert text.count("stablehlo.convolution") == len(convolutions) * len(program.platforms)
    assert "stablehlo.while" not in text
    assert about(result.path)["classes"] == CLASSES
