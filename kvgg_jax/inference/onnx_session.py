"""`predict` with an exported ONNX file: only onnxruntime, neither JAX nor Keras."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any, NamedTuple, TypeGuard, TypeVar, get_args

import numpy as np
from numpy.typing import NDArray

from kvgg_jax.core.errors import RunError, UsageError
from kvgg_jax.core.events import Emit, ignore
from kvgg_jax.core.extras import require
from kvgg_jax.core.places import Place
from kvgg_jax.core.tables.data import Resize
from kvgg_jax.core.text import escape_name
from kvgg_jax.data.decode.image import Read, read_file
from kvgg_jax.inference.averaging import with_mirror_images
from kvgg_jax.inference.known_photos import read_by
from kvgg_jax.inference.prediction import (
    MAX_BATCH,
    WHOLE,
    Outputs,
    Part,
    Prediction,
    Predictor,
    classify,
    find_files,
)
from kvgg_jax.inference.temperature import HIGHEST, LOWEST, threshold

if TYPE_CHECKING:
    import onnxruntime

T = TypeVar("T")
FATAL_ONLY = 4  # onnxruntime's level of logging: its errors are raised too
LOAD_SECONDS, SECONDS_PER_IMAGE = 60.0, 20.0  # far more than the largest network takes
GRACE = 5.0  # seconds to end in, once stopped
TOLERANCE = 1e-3  # of a probability and of their sum


def is_onnx(run: object) -> TypeGuard[str | Path]:
    """Whether what was given for a run is an ONNX file, by its name."""
    if not isinstance(run, str | Path) or os.path.isdir(run):  # a run may have such a name
        return False
    return Path(run).suffix.lower() == ".onnx"


def predict_each(
    paths: Iterable[str | Place] | str | Path,
    model: str | Path,
    *,
    raw: bool = False,
    tta: bool = False,
    unsure_below: float | None = None,
    unknown_below: float | None = None,
    batch_size: int | None = None,
    part: Part = WHOLE,
    after: int = 0,
    read: Read = read_file,
    emit: Emit = ignore,
) -> Iterator[Prediction]:
    """Classify files, and the images in folders, with a file from `export`.

    With `tta` each photo and its mirror image are averaged. Probabilities are as calibrated as the
    file, which is never undone. Raises UsageError for `raw` where it is, RunError for
    the file, DataError when there is nothing to classify, MissingExtra.
    """
    files = find_files(paths)
    opened = open_onnx(Path(model))
    if raw and opened.temperatures:
        raise UsageError(
            f"--raw: the calibration is inside {escape_name(model)}. Export uncalibrated "
            "probabilities: kvgg export --format onnx --raw"
        )
    below = threshold(opened.temperatures, unsure_below, emit)
    lacks = (
        f"{escape_name(model)} does not measure what tells unknown photos. Export the run again: "
        "kvgg export --format onnx"
    )
    typicality = read_by(opened.distances, unknown_below, otherwise=lacks)
    batch = min(len(files), batch_size or MAX_BATCH)
    if tta:
        opened = replace(opened, predict=with_mirror_images(opened.predict))
    yield from classify(
        part.of(files),
        opened,
        batch=batch,
        unsure_below=below,
        typicality=typicality,
        after=after,
        read=read,
        emit=emit,
    )


def open_onnx(path: Path) -> Predictor:
    """Load a file that `export` made. Raises RunError for any other, MissingExtra.

    Its `predict` raises RunError where the file does not give probabilities, or not in time.
    """
    require("onnx", by="An ONNX file")
    import onnxruntime

    if not os.path.isfile(path):  # which never raises, as for a name too long
        raise RunError(f"{escape_name(path)} does not exist. Create it: kvgg export --format onnx")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = FATAL_ONLY
    providers = onnxruntime.get_available_providers()
    session = _bounded(
        lambda: onnxruntime.InferenceSession(path, options, providers=providers),
        seconds=LOAD_SECONDS,
        otherwise=f"{escape_name(path)} is not a valid ONNX file",
    )
    about = _description(session, path)

    def predict(images: NDArray[np.uint8]) -> Outputs:
        run_options = onnxruntime.RunOptions()
        run_options.log_severity_level = FATAL_ONLY
        probabilities, *others = _bounded(
            lambda: session.run(None, {about.input: images}, run_options),
            seconds=LOAD_SECONDS + SECONDS_PER_IMAGE * len(images),
            otherwise=f"{escape_name(path)} cannot classify the photos",
            stop=lambda: setattr(run_options, "terminate", True),
        )
        if not _are_probabilities(probabilities, (len(images), len(about.classes))):
            raise RunError(
                f"{escape_name(path)} does not give probabilities: numbers from 0 to 1 with the "
                "sum 1 for each photo. Export the run again: kvgg export --format onnx"
            )
        if others and not _are_distances(others[0], len(images)):
            raise RunError(
                f"{escape_name(path)} does not give distances: a number for each photo, 0 or more. "
                "Export the run again: kvgg export --format onnx"
            )
        return Outputs(probabilities, *others)

    of, size = about.distances, about.image_size
    return Predictor(predict, about.classes, size, about.temperatures, about.resize, of)


class _Description(NamedTuple):
    input: str
    classes: tuple[str, ...]
    image_size: int
    temperatures: tuple[float, ...]
    resize: Resize
    distances: NDArray[np.float32] | None


def _description(session: onnxruntime.InferenceSession, path: Path) -> _Description:
    """What the file says of itself. Raises RunError if it is not one of `export`."""
    try:
        about = session.get_modelmeta().custom_metadata_map
        classes = json.loads(about["classes"])
        temperatures, resize, distances = _temperatures(about), _resize(about), _distances(about)
        (image,), (output, *others) = session.get_inputs(), session.get_outputs()
        size = image.shape[1]
        fits = (image.type, image.shape[1:], output.shape[1:]) == (
            "tensor(uint8)",
            [size, size, 3],
            [len(set(classes))],
        ) and len(others) == (distances is not None)
        if not fits or not all(isinstance(name, str) for name in classes):
            raise ValueError
    except (KeyError, TypeError, ValueError, IndexError, RecursionError):
        raise RunError(
            f"{escape_name(path)} was not made by kvgg export: it lacks the class names or "
            "the image size."
        ) from None
    return _Description(image.name, tuple(classes), size, temperatures, resize, distances)


def _bounded(
    work: Callable[[], T],
    *,
    seconds: float,
    otherwise: str,
    stop: Callable[[], None] = lambda: None,
) -> T:
    """What `work` gives. Raises RunError with `otherwise` where it fails or takes too long.

    `stop` then ends it, or else it runs until the program ends.
    """
    result: Future[T] = Future()

    def run() -> None:
        try:
            result.set_result(work())
        except Exception as error:  # onnxruntime has an exception of its own for each reason
            result.set_exception(error)

    thread = Thread(target=run, daemon=True)
    thread.start()
    try:
        return result.result(seconds)
    except TimeoutError:
        reason = f"it took longer than {seconds:.0f} seconds"
    except Exception as error:
        reason = escape_name((str(error) or type(error).__name__).splitlines()[0])
    finally:
        if not result.done():  # after Ctrl-C too: a program that ends beside it would crash
            stop()
            thread.join(GRACE)
    raise RunError(f"{otherwise}: {reason}")


def _are_probabilities(found: NDArray[np.floating], shape: tuple[int, int]) -> bool:
    if found.shape != shape or found.dtype.kind != "f":
        return False
    in_range = (found >= -TOLERANCE) & (found <= 1 + TOLERANCE)  # False for NaN
    return bool(in_range.all() and np.allclose(found.sum(axis=1), 1, rtol=0, atol=TOLERANCE))


def _are_distances(found: NDArray[np.floating], count: int) -> bool:
    return found.shape == (count,) and found.dtype.kind == "f" and bool((found >= 0).all())


def _temperatures(about: Mapping[str, str]) -> tuple[float, ...]:
    """None for its own probabilities. Raises ValueError for another value."""
    found = json.loads(about.get("temperature", "null"))
    if found is None:
        return ()
    if not (isinstance(found, float) and LOWEST <= found <= HIGHEST):
        raise ValueError
    return (found,)


def _resize(about: Mapping[str, str]) -> Resize:
    """Squash also for a file from before there was another. Raises ValueError for no such way."""
    found = json.loads(about.get("resize", '"squash"'))
    if found not in get_args(Resize):
        raise ValueError
    return found


def _distances(about: Mapping[str, str]) -> NDArray[np.float32] | None:
    """Of known photos, ascending; None also for a file from before there were any. Raises
    ValueError for other values."""
    found: Any = json.loads(about.get("unknown", "null"))
    if found is None:
        return None
    distances = np.array(found["distances"], np.float32)
    if distances.ndim != 1 or not len(distances) or not (np.diff(distances) >= 0).all():
        raise ValueError
    return distances
