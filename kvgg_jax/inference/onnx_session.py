"""`predict` with an exported ONNX file: only onnxruntime, neither JAX nor Keras."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TypeGuard

import numpy as np
from numpy.typing import NDArray

from kvgg_jax.core.errors import RunError, UsageError
from kvgg_jax.core.events import Emit, ignore
from kvgg_jax.core.extras import require
from kvgg_jax.core.text import escape_name
from kvgg_jax.inference.prediction import MAX_BATCH, Prediction, Predictor, classify, find_files
from kvgg_jax.inference.temperature import threshold

ERRORS_ONLY = 3  # onnxruntime's level of logging


def is_onnx(run: object) -> TypeGuard[str | Path]:
    """Whether what was given for a run is an ONNX file, by its name."""
    if not isinstance(run, str | Path) or os.path.isdir(run):  # a run may have such a name
        return False
    return Path(run).suffix.lower() == ".onnx"


def predict(
    paths: Iterable[str | Path] | str | Path,
    model: str | Path,
    *,
    raw: bool = False,
    unsure_below: float | None = None,
    batch_size: int | None = None,
    emit: Emit = ignore,
) -> list[Prediction]:
    """Classify files, and the images in folders, with a file from `export`.

    Probabilities are as calibrated as the file, which is never undone. Raises UsageError for `raw`
    where it is, RunError for the file, DataError when there is nothing to classify, MissingExtra.
    """
    files = find_files(paths)
    opened = open_onnx(Path(model))
    if raw and opened.temperature is not None:
        raise UsageError(
            f"--raw: the calibration is inside {escape_name(model)}. Export uncalibrated "
            "probabilities: kvgg export --format onnx --raw"
        )
    below = threshold(opened.temperature, unsure_below, emit)
    batch = min(len(files), batch_size or MAX_BATCH)
    return classify(files, opened, batch=batch, unsure_below=below, emit=emit)


def open_onnx(path: Path) -> Predictor:
    """Load a file that `export` made. Raises RunError for any other, MissingExtra."""
    require("onnx", by="An ONNX file")
    import onnxruntime

    if not os.path.isfile(path):  # which never raises, as for a name too long
        raise RunError(f"{escape_name(path)} does not exist. Create it: kvgg export --format onnx")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = ERRORS_ONLY
    try:
        session = onnxruntime.InferenceSession(
            path, options, providers=onnxruntime.get_available_providers()
        )
    except Exception as error:  # onnxruntime has an exception of its own for each reason
        reason = escape_name(str(error).splitlines()[0])
        raise RunError(f"{escape_name(path)} is not a valid ONNX file: {reason}") from None
    try:
        about = session.get_modelmeta().custom_metadata_map
        classes, temperature = json.loads(about["classes"]), _temperature(about)
        (image,), (output,) = session.get_inputs(), session.get_outputs()
        size = image.shape[1]
        fits = (image.type, image.shape[1:], output.shape[1:]) == (
            "tensor(uint8)",
            [size, size, 3],
            [len(set(classes))],
        )
        if not fits or not all(isinstance(name, str) for name in classes):
            raise ValueError
    except (KeyError, TypeError, ValueError, IndexError, RecursionError):
        raise RunError(
            f"{escape_name(path)} was not made by kvgg export: it lacks the class names or "
            "the image size."
        ) from None

    def predict(images: NDArray[np.uint8]) -> NDArray[np.floating]:
        return session.run(None, {image.name: images})[0]

    return Predictor(predict, tuple(classes), size, temperature)


def _temperature(about: Mapping[str, str]) -> float | None:
    """None also for a file from before there were any. Raises ValueError for another value."""
    found = json.loads(about.get("temperature", "null"))
    if found is not None and not (isinstance(found, float) and 0 < found < math.inf):
        raise ValueError
    return found
