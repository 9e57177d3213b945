"""A program of its own: python saved_model_child.py MODEL.keras FOLDER

Keras runs on TensorFlow in it, so it imports nothing of this package, which puts Keras on JAX.
"""

from __future__ import annotations

import sys
from typing import Any

import keras
import tensorflow as tf


def main(source: str, folder: str) -> None:
    """The network of a `.keras` file as uint8 `image` [batch, size, size, 3] -> `probabilities`."""
    model = keras.saving.load_model(source, compile=False, safe_mode=True)
    image = tf.TensorSpec((None, *model.input.shape[1:]), tf.uint8, name="image")

    def serve(image: Any) -> dict[str, Any]:
        return {"probabilities": model(image, training=False)}

    archive = keras.export.ExportArchive()  # `track(model)` would write each weight twice
    archive.add_endpoint("serving_default", serve, input_signature=[image])
    archive.write_out(folder, verbose=False)


if __name__ == "__main__":
    main(*sys.argv[1:])
