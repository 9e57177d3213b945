"""`.keras` files are read by Keras alone."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from kvgg_jax import export
from kvgg_jax.inference.classifier import Classifier
from support.exports import CLASSES, about

pytestmark = [
    pytest.mark.usefixtures("thin_network"),
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),  # Keras' own
]


def test_keras_loads_it_safely_without_this_package(
    drawn: Classifier, images: np.ndarray, expected: np.ndarray, tmp_path: Path
) -> None:
    """In safe mode, on another backend, for uint8 and float images alike; classes beside it."""
    result = export("keras", drawn, output=tmp_path / "x.keras")
    assert result.difference <= 1e-4
    np.save(tmp_path / "images.npy", images)
    code = (
        "import sys, keras, numpy as np\n"
        "model = keras.models.load_model('x.keras')\n"
        "images = np.load('images.npy')\n"
        "np.savez('found.npz', *(model(x) for x in (images, images.astype('float32'))))\n"
        "print(keras.backend.backend(), 'kvgg_jax' in sys.modules, model.input_shape)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "KERAS_BACKEND": "numpy"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "numpy False (None, 64, 64, 3)\n", done.stderr
    with np.load(tmp_path / "found.npz") as answers:
        for found in answers.values():
            np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)
    assert about(result.path)["classes"] == CLASSES
