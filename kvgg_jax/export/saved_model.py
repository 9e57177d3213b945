"""TensorFlow SavedModel, of TensorFlow's own operations: Keras on TensorFlow writes it.

Keras has one backend per process, and on JAX its `model.export` writes a program of XLA for this
platform, which no other device, TensorFlow Lite or TensorFlow.js can run.
"""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kvgg_jax.core.errors import RunError
from kvgg_jax.core.files import write_text
from kvgg_jax.core.keras_gate import keras
from kvgg_jax.core.tf_gate import tf
from kvgg_jax.export.graph import OUTPUTS, About, check_layers
from kvgg_jax.inference.prediction import Outputs, PredictFunction

ABOUT = Path("assets.extra", "classes.json")  # TensorFlow's place for files of others
CHILD = Path(__file__).with_name("saved_model_child.py")
SETTINGS = {"KERAS_BACKEND": "tensorflow", "CUDA_VISIBLE_DEVICES": "-1", "PYTHONWARNINGS": "ignore"}


def write(model: keras.Model, file: Path, about: About) -> None:
    """A folder `file` with the signature uint8 `image` -> outputs by name, and `about` in it.

    Raises RunError when TensorFlow cannot write it, OSError when the disk is full.
    """
    run_child(model, file)
    (file / ABOUT).parent.mkdir(exist_ok=True)
    write_text(file / ABOUT, json.dumps(about, indent=2) + "\n")


def run_child(model: keras.Model, folder: Path, *others: Path) -> None:
    """Let TensorFlow write `model` to `folder`, and LiteRT to another file. Raises as `write`."""
    check_layers(model)
    with tempfile.TemporaryDirectory(dir=folder.parent) as parts:
        source = Path(parts, "model.keras")
        model.save(source)
        done = subprocess.run(
            [sys.executable, "-P", CHILD, source, folder, *others],
            env={**os.environ, **SETTINGS},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
    if os.strerror(errno.ENOSPC) in done.stderr:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    if done.returncode:
        reason = done.stderr.strip().rpartition("\n")[2] or f"it ended with {done.returncode}"
        raise RunError(f"TensorFlow cannot write the network: {reason}")


def read(file: Path) -> PredictFunction:
    """The signature, as TensorFlow loads it."""
    loaded = tf.saved_model.load(str(file))  # kept alive: it owns the weights

    def predict(images: NDArray[np.uint8]) -> Outputs:
        found = loaded.signatures["serving_default"](tf.constant(images))
        return as_outputs({name: values.numpy() for name, values in found.items()})

    return predict


def as_outputs(found: Mapping[str, NDArray[np.floating]]) -> Outputs:
    """Of arrays by the names that the child gives them."""
    return Outputs(*(found[name] for name in OUTPUTS if name in found))
