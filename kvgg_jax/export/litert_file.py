"""LiteRT, formerly TensorFlow Lite, for phones and small devices: made of a SavedModel."""

from __future__ import annotations

import tempfile
import warnings
from pathlib import Path

from kvgg_jax.core.keras_gate import keras
from kvgg_jax.core.tf_gate import tf
from kvgg_jax.export.graph import About, write_beside
from kvgg_jax.export.saved_model import as_outputs, run_child
from kvgg_jax.inference.prediction import PredictFunction


def write(model: keras.Model, file: Path, about: About) -> None:
    """uint8 `image` [batch, size, size, 3] -> outputs by name, and `about` beside it.

    Raises RunError when TensorFlow cannot write it, OSError when the disk is full.
    """
    with tempfile.TemporaryDirectory(dir=file.parent) as folder:
        run_child(model, Path(folder, "saved_model"), file)
    write_beside(file, about)


def read(file: Path) -> PredictFunction:
    """The model, run by LiteRT's interpreter."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # TensorFlow wants another package for it
        plain = tf.lite.experimental.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
        interpreter = tf.lite.Interpreter(str(file), experimental_op_resolver_type=plain)
    run = interpreter.get_signature_runner()
    return lambda images: as_outputs(run(image=images))
