"""`export`: a trained run as a file for other programs, read back before it is delivered."""

from __future__ import annotations

import importlib
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from numpy.typing import NDArray

from kvgg_jax.core.errors import DataError, RunError, UsageError
from kvgg_jax.core.events import Emit, Progress, ignore
from kvgg_jax.core.extras import require
from kvgg_jax.core.places import is_missing, place
from kvgg_jax.core.process import __version__
from kvgg_jax.core.text import escape_name
from kvgg_jax.data.decode.resize import SENTENCES
from kvgg_jax.data.open_photos import source_of
from kvgg_jax.data.samples import Samples, reader
from kvgg_jax.data.split import Split
from kvgg_jax.export.graph import OUTPUTS, About, beside, portable
from kvgg_jax.export.output import check_free, delivered
from kvgg_jax.inference.classifier import Classifier, load_classifier
from kvgg_jax.inference.known_photos import UNKNOWN_BELOW, KnownPhotos, current
from kvgg_jax.inference.prediction import MAX_BATCH, PredictFunction, Predictor, classify
from kvgg_jax.inference.temperature import apply_temperature, current_calibration
from kvgg_jax.models.functional import make_embed_step
from kvgg_jax.runs import catalog
from kvgg_jax.runs.folder import Run

TOLERANCE = 1e-4  # how far a probability may be from that of `predict`
RELATIVE = 1e-3  # how far a distance may be
CHECKED = 8  # noise images on which they are compared
CALIBRATION = 128  # training photos that show the int8 tool which values occur


class Format(NamedTuple):
    """What a format is called in the run folder, and which module reads and writes it."""

    file: str
    module: str
    extra: str | None = None
    has_int8: bool = False
    mark: str | None = None
    """A file by which a folder of this format is recognized."""
    has_beside: bool = False
    """Whether class names are in a file beside it."""
    has_distance: bool = False
    """Whether it measures what tells unknown photos."""


FORMATS = {
    "keras": Format("model.keras", "keras_file", has_int8=True, has_beside=True),
    "saved-model": Format("saved_model", "saved_model", mark="saved_model.pb", has_distance=True),
    "onnx": Format("model.onnx", "onnx_file", extra="onnx", has_int8=True, has_distance=True),
    "litert": Format("model.tflite", "litert_file", has_beside=True, has_distance=True),
    "stablehlo": Format("model.stablehlo", "stablehlo", has_beside=True),
    "safetensors": Format("model.safetensors", "safetensors_file", extra="safetensors"),
}


@dataclass(frozen=True, slots=True)
class Int8:
    """What 8 bits cost on the run's validation photos; the accuracies are shares in [0, 1]."""

    accuracy: float
    float_accuracy: float
    """Of the same format before it was quantized."""
    count: int


@dataclass(frozen=True, slots=True)
class Export:
    """A delivered file, or folder for saved-model."""

    run: Path
    path: Path
    format: str
    size: int
    """Bytes."""
    temperature: float | None
    """By which its probabilities are calibrated, inside; None for the network's own."""
    unknown_below: float | None
    """The typicality below which it says that a photo is unknown; None where it does not."""
    difference: float
    """The largest of a probability to that of `predict` on noise images; with `int8`, to that of
    the float32 file on the validation photos."""
    seconds: float
    int8: Int8 | None = None


def export(
    format: str,
    run: str | Path | Classifier | None = None,
    *,
    output: str | Path | None = None,
    quantize: str | None = None,
    data: str | Path | None = None,
    raw: bool = False,
    overwrite: bool = False,
    out: str | Path = catalog.OUT,
    emit: Emit = ignore,
) -> Export:
    """Write the best weights of a run (None: the newest finished one) in one of `FORMATS`.

    The network takes uint8 [batch, size, size, 3], RGB in 0..255, computes in float32, and gives
    probabilities. They are calibrated if `calibrate` has fitted the run, unless `raw`: the
    temperature is part of the network. Class names are inside, or beside it in `<output>.json`.
    The formats `has_distance` tell unknown photos too, if the run does, except in 8 bits.
    Without `output` it goes to `exported/` in the run folder. Its own runtime reads it back, and it
    is compared with `predict`, before it is put in place.

    `quantize="int8"` (keras, onnx) needs the run's photos; `data` says where they are now.
    Raises UsageError, MissingExtra, RunError, DataError.
    """
    known = _check(format, quantize)
    if data is not None and not quantize:
        raise UsageError("--data: only --quantize int8 reads photos.")
    started = time.perf_counter()
    found = run.run if isinstance(run, Classifier) else catalog.find(run, out=Path(out))
    path = _path(output, known, found.path / "exported", quantize)
    check_free(path, overwrite=overwrite, mark=known.mark)
    if known.has_beside:
        check_free(beside(path), overwrite=overwrite)
    catalog.tell_newest(run, found.path, emit)
    split = _photos(found, data) if quantize else None
    classifier = run if isinstance(run, Classifier) else load_classifier(found.path, emit=emit)
    calibration = None if raw else current_calibration(classifier.run, classifier.state, emit)
    temperature = calibration.temperature if calibration else None
    measures = known.has_distance and not quantize  # as 8 bits of features would move them
    photos = current(classifier.run, classifier.state, emit) if measures else None
    module = importlib.import_module(f"kvgg_jax.export.{known.module}")
    # Full float32 where a GPU would multiply in TF32, in the files and in what they are compared to
    with (
        jax.default_matmul_precision("highest"),
        delivered(path, overwrite=overwrite, mark=known.mark) as new,
    ):
        emit(Progress("writing", 0, 1))
        network = portable(classifier.model, temperature, photos)
        module.write(network, new, _about(classifier, temperature, photos))
        predict: PredictFunction = module.read(new)
        difference, int8 = _compare(format, classifier, temperature, photos, predict), None
        if split is not None:
            module.quantize(new, _images(split.train, classifier, emit))
            difference, int8 = _cost(split.val, classifier, (predict, module.read(new)), emit)
        size = sum(file.stat().st_size for file in (new, *new.rglob("*")) if file.is_file())
    seconds = time.perf_counter() - started
    below = UNKNOWN_BELOW if photos else None
    return Export(found.path, path, format, size, temperature, below, difference, seconds, int8)


def _check(format: str, quantize: str | None) -> Format:
    if format not in FORMATS:
        raise UsageError(f"--format {escape_name(format)}: use {', '.join(FORMATS)}.")
    known = FORMATS[format]
    if quantize not in (None, "int8"):
        raise UsageError(f"--quantize {escape_name(quantize)}: use int8.")
    if quantize and not known.has_int8:
        able = " or ".join(name for name, one in FORMATS.items() if one.has_int8)
        raise UsageError(f"--quantize: {format} has no int8; use --format {able}.")
    if known.extra:
        require(known.extra, by=f"--format {format}")
    return known


def _path(output: str | Path | None, known: Format, folder: Path, quantize: str | None) -> Path:
    name = Path(known.file)
    if quantize:
        name = name.with_stem(f"{name.stem}-{quantize}")
    if output is None:
        return folder / name
    path = Path(output)
    if name.suffix and os.path.isdir(path):
        return path / name
    if name.suffix and path.suffix != name.suffix:
        raise UsageError(f"--output {escape_name(path)}: the name must end in {name.suffix}.")
    return path


def _about(
    classifier: Classifier, temperature: float | None, known: KnownPhotos | None = None
) -> About:
    size, count = classifier.image_size, len(classifier.classes)
    return {
        "classes": list(classifier.classes),
        "image_size": size,
        "input": f"image: uint8 [batch, {size}, {size}, 3], RGB in 0..255",
        "preprocessing": "division by 255 is inside",
        "resize": classifier.resize,
        "resizing": f"before: {SENTENCES[classifier.resize]}; bilinear with antialiasing",
        "output": f"probabilities: float32 [batch, {count}], in the order of classes",
        "temperature": temperature,
        "unknown": _unknown(known),
        "model": classifier.config.model.model_dump(exclude={"weights", "freeze"}),
        "run": classifier.run.path.resolve().name,
        "kvgg_jax": __version__,
    }


def _unknown(known: KnownPhotos | None) -> dict[str, Any] | None:
    """How a file says that a photo is unknown."""
    if known is None:
        return None
    return {
        "output": f"{OUTPUTS[1]}: float32 [batch], to the nearest class of training photos",
        "rule": "a photo is unknown where it is above `above`; none is where that is null",
        "above": known.farthest(),
        "unknown_below": UNKNOWN_BELOW,
        "distances": known.distances.tolist(),
    }


def _compare(
    format: str,
    classifier: Classifier,
    temperature: float | None,
    known: KnownPhotos | None,
    predict: PredictFunction,
) -> float:
    """The largest difference to `predict` on noise images. Raises RunError if it is large."""
    size = classifier.image_size
    step = make_embed_step(classifier.config.model)  # in float32, as files compute
    images = np.random.default_rng(0).integers(0, 256, (CHECKED, size, size, 3), np.uint8)
    embeddings, own = map(np.asarray, jax.jit(step)(*classifier.weights, images))
    expected = own if temperature is None else apply_temperature(own, temperature)
    found = predict(images)
    difference = float(np.abs(np.asarray(found.probabilities) - expected).max())
    if not difference <= TOLERANCE:
        raise RunError(
            f"The {format} file gives other probabilities than the run: {difference:.1e} apart. "
            "It was not kept; please report it."
        )
    if known is not None:
        far = known.distance(embeddings)
        if not np.allclose(np.asarray(found.distances), far, rtol=RELATIVE, atol=TOLERANCE):
            raise RunError(
                f"The {format} file gives other distances from the known photos than the run. It "
                "was not kept; please report it."
            )
    return difference


def _photos(run: Run, data: str | Path | None) -> Split:
    """Those of the run. Raises DataError when they are gone."""
    photos = run.config().data.at(data)
    root = str(photos.dir)
    if is_missing(place(root)):
        raise DataError(
            f"int8 is evaluated on the run's photos, and {escape_name(root)} does not exist. "
            "Give their folder: --data DIR"
        )
    return run.split(source_of(photos))


def _images(samples: Samples, of: Classifier, emit: Emit) -> Iterator[NDArray[np.uint8]]:
    """Batches of some training photos: not of those on which the result is evaluated."""
    places = np.linspace(0, len(samples) - 1, min(CALIBRATION, len(samples))).astype(int)
    for start in range(0, len(places), MAX_BATCH):  # evenly: they may be sorted by class
        emit(Progress("calibrating", start, len(places)))
        some = places[start : start + MAX_BATCH]
        yield np.stack([samples.load(i, of.image_size, of.resize) for i in some])


def _cost(
    samples: Samples,
    classifier: Classifier,
    predicts: tuple[PredictFunction, PredictFunction],
    emit: Emit,
) -> tuple[float, Int8]:
    """(largest difference of a probability, accuracies) of (float, int8) on `samples`."""
    true = np.array(samples.labels)
    before, after = (_probabilities(samples, classifier, one, emit) for one in predicts)
    new, old = (float((found.argmax(axis=1) == true).mean()) for found in (after, before))
    return float(np.abs(after - before).max()), Int8(new, old, len(samples))


def _probabilities(
    samples: Samples, classifier: Classifier, predict: PredictFunction, emit: Emit
) -> NDArray[np.float64]:
    """Probabilities [photos, classes]. Raises DataError for a photo that cannot be read."""
    size, resize = classifier.image_size, classifier.resize
    network = Predictor(predict, classifier.classes, size, resize=resize)
    batch = min(len(samples), MAX_BATCH)
    found = list(classify(samples.files(), network, batch=batch, read=reader(samples), emit=emit))
    for one in found:
        if one.error:
            raise DataError(f"int8 is evaluated on all validation photos. {one.error}")
    return np.array([[dict(one.top)[name] for name in classifier.classes] for one in found])
