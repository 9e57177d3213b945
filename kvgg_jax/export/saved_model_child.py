"""A program of its own: python saved_model_child.py MODEL.keras FOLDER [FILE.tflite]

Keras runs on TensorFlow in it, so it imports nothing of this package, which puts Keras on JAX.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

OUTPUTS = ("probabilities", "distance")


def main(source: str, folder: str, file: str | None = None) -> None:
    """The network of a `.keras` file as uint8 `image` [batch, size, size, 3] -> `OUTPUTS`.

    `file` is for LiteRT, which is made of the SavedModel in `folder`.
    """
    model = keras.saving.load_model(source, compile=False, safe_mode=True)
    image = tf.TensorSpec((None, *model.input.shape[1:]), tf.uint8, name="image")

    def serve(image: Any) -> dict[str, Any]:
        found = model(image, training=False)
        return dict(zip(OUTPUTS, found if isinstance(found, list) else [found], strict=False))

    archive = keras.export.ExportArchive()  # `track(model)` would write each weight twice
    archive.add_endpoint("serving_default", serve, input_signature=[image])
    archive.write_out(folder, verbose=False)
    if file is not None:
        Path(file).write_bytes(tf.lite.TFLiteConverter.from_saved_model(folder).convert())


if __name__ == "__main__":
    main(*sys.argv[1:])
