"""`predict`: a trained run, or the folds of a cross-validation, put to use. Never TensorFlow."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from kvgg_jax.core.config import RunConfig
from kvgg_jax.core.devices.check import check_jax
from kvgg_jax.core.errors import RunError
from kvgg_jax.core.events import Emit, ignore
from kvgg_jax.core.memory import inference_memory_advice
from kvgg_jax.core.places import Place
from kvgg_jax.core.state import Weights, empty_batch
from kvgg_jax.core.tables.data import Resize
from kvgg_jax.core.text import escape_name
from kvgg_jax.data.decode.image import Read, read_file
from kvgg_jax.inference import onnx_session
from kvgg_jax.inference.averaging import mean_of, with_mirror_images
from kvgg_jax.inference.certainty import calibrations_of, familiarity, temperatures_of
from kvgg_jax.inference.known_photos import with_distances
from kvgg_jax.inference.prediction import (
    MAX_BATCH,
    WHOLE,
    Outputs,
    Part,
    PredictFunction,
    Prediction,
    Predictor,
    classify,
    find_files,
)
from kvgg_jax.inference.temperature import (
    Calibration,
    calibrated,
    threshold,
)
from kvgg_jax.models.compile import compile_step
from kvgg_jax.models.functional import make_embed_step, make_predict_step, weight_shapes
from kvgg_jax.runs import catalog
from kvgg_jax.runs.checkpoint import Checkpoints
from kvgg_jax.runs.folder import Run
from kvgg_jax.runs.folds import find_crossval, read_folds

if TYPE_CHECKING:
    from kvgg_jax.core.keras_gate import keras


@dataclass(frozen=True)
class Classifier:
    """A run's network with its best weights; `model` is a plain `keras.Model` with them."""

    run: Run
    config: RunConfig
    classes: tuple[str, ...]
    weights: Weights
    state: str
    """Name of the saved step that the weights are of."""

    @cached_property
    def model(self) -> keras.Model:
        """Built when it is first used: `predict` does without Keras."""
        from kvgg_jax.models.build import assign_weights, vgg

        model = vgg(
            self.config.model,
            classes=len(self.classes),
            image_size=self.image_size,
            precision=self.config.train.precision,
            seed=None,
        )
        assign_weights(model, self.weights)
        return model

    @property
    def settings(self) -> tuple[object, ...]:
        """Those that its program and its images depend on."""
        return self.config.model, self.config.train.precision, self.image_size, self.resize

    @property
    def image_size(self) -> int:
        """Pixels a side of the network's input."""
        return self.config.image_size

    @property
    def resize(self) -> Resize:
        """How a photo becomes that square."""
        return self.config.data.resize

    def batch(self, photos: int, batch_size: int | None) -> int:
        """Images at once for so many photos: `batch_size`, or what suits the run."""
        train, count = self.config.train, min(photos, batch_size or MAX_BATCH)
        # how bfloat16 rounds depends on the batch size, so it is that of evaluation
        return count if train.precision == "float32" or batch_size else train.part_size


def load_classifier(
    run: str | Path | None = None, *, out: str | Path = catalog.OUT, emit: Emit = ignore
) -> Classifier:
    """The network of a run (None: the newest finished one) with its best weights.

    Raises RunError when there is no such run, or it has no checkpoint that fits.
    """
    check_jax()
    found = catalog.find(run, out=Path(out))
    config, classes = found.config(), found.classes()
    if not found.checkpoints.is_dir():
        raise RunError(
            f"{found.path} has no checkpoint yet. Let it finish an epoch: "
            f"kvgg train --resume {found.path}"
        )
    shapes = weight_shapes(config.model, classes=len(classes), image_size=config.image_size)
    with Checkpoints(found.checkpoints, run=found, read_only=True, emit=emit) as checkpoints:
        state, weights = checkpoints.load_best(shapes)
    return Classifier(found, config, classes, weights, state)


def classifier_of(
    run: str | Path | Classifier | None, *, out: str | Path, emit: Emit
) -> Classifier:
    """`run` itself, or as `load_classifier` loads it; a Note event tells which run None is."""
    if isinstance(run, Classifier):
        return run
    classifier = load_classifier(run, out=out, emit=emit)
    catalog.tell_newest(run, classifier.run.path, emit)
    return classifier


def members_of(
    run: str | Path | Classifier | None, *, out: str | Path, emit: Emit
) -> tuple[Classifier, ...]:
    """The networks to average: of the folds of a cross-validation, or that of one run.

    Raises RunError as `load_classifier` does, and for folds that are unfinished or do not fit.
    """
    folder = find_crossval(run, out=Path(out)) if isinstance(run, str | Path) else None
    if folder is None:
        return (classifier_of(run, out=out, emit=emit),)
    members = tuple(load_classifier(fold.path, emit=emit) for fold in read_folds(folder))
    first = members[0]
    for one in members[1:]:
        alike = {
            "classes": one.classes == first.classes,
            "settings": one.settings == first.settings,
        }
        if other := [what for what, is_same in alike.items() if not is_same]:
            raise RunError(
                f"{escape_name(one.run.path)} has other {other[0]} than {first.run.path.name}, so "
                "they cannot be averaged. Cross-validate again under another --name."
            )
    return members


def predict(
    paths: Iterable[str | Place] | str | Path,
    run: str | Path | Classifier | None = None,
    *,
    raw: bool = False,
    tta: bool = False,
    unsure_below: float | None = None,
    unknown_below: float | None = None,
    batch_size: int | None = None,
    out: str | Path = catalog.OUT,
    emit: Emit = ignore,
) -> list[Prediction]:
    """Classify files, and the images in folders, with the best weights of a run.

    Probabilities are calibrated where `calibrate` has fitted the run, unless `raw`. `unsure_below`
    is in [0, 1]; None means 0.7 (`temperature.UNSURE_BELOW`) where they are, else no threshold.
    `unknown_below` is in [0, 1]; None means 0.05 (`known_photos.UNKNOWN_BELOW`) where the run has
    kept what it takes to tell unknown photos, and 0 that none is unknown.
    `batch_size` None means up to 32, or for a run in bfloat16, where rounding depends on it, as
    many as in its training. With `tta` (test-time augmentation) the probabilities are the mean of
    those of the photo and of its mirror image.

    `run` may also be an ONNX file that `export` made; if it is calibrated, `raw` is a UsageError.
    Or it is the folder of a cross-validation: then the probabilities are the mean of those of its
    folds, each calibrated if its fold is.
    A file that cannot be read gives a Prediction with `error`; the others are still classified.
    Raises RunError for the run, DataError when there is nothing to classify, ValueError for a
    threshold that is no probability.
    """
    if unsure_below is not None and not 0 <= unsure_below <= 1:
        raise ValueError(f"unsure_below {unsure_below}: a probability is in [0, 1]")
    if unknown_below is not None and not 0 <= unknown_below <= 1:
        raise ValueError(f"unknown_below {unknown_below}: a share of photos is in [0, 1]")
    how: Any = {"raw": raw, "tta": tta, "batch_size": batch_size, "emit": emit}
    how |= {"unsure_below": unsure_below, "unknown_below": unknown_below}
    if onnx_session.is_onnx(run):
        return list(onnx_session.predict_each(paths, run, **how))
    return list(predict_each(paths, run, **how, out=out))


def predict_each(
    paths: Iterable[str | Place] | str | Path,
    run: str | Path | Classifier | None = None,
    *,
    raw: bool = False,
    tta: bool = False,
    unsure_below: float | None = None,
    unknown_below: float | None = None,
    batch_size: int | None = None,
    part: Part = WHOLE,
    after: int = 0,
    read: Read = read_file,
    out: str | Path = catalog.OUT,
    emit: Emit = ignore,
) -> Iterator[Prediction]:
    """As `predict`, one by one: those of a `part` of the files, without its first `after`.

    No digit depends on the latter. `read` gives the content of a file.
    """
    files = find_files(paths)
    members = members_of(run, out=out, emit=emit)
    classifier, calibrations = members[0], calibrations_of(members, raw=raw, emit=emit)
    temperatures = temperatures_of(calibrations)
    unsure_below = threshold(temperatures, unsure_below, emit)
    known, typicality = familiarity(members, unknown_below, emit)
    batch, size = classifier.batch(len(files), batch_size), classifier.image_size
    config = classifier.config
    with inference_memory_advice(batch, size):
        make_step = make_predict_step if known is None else make_embed_step
        function = make_step(config.model, precision=config.train.precision)
        example = empty_batch(batch, size).images
        step = compile_step("prediction", function, *classifier.weights, example, emit=emit)

        def outputs_of(member: Classifier, calibration: Calibration | None) -> PredictFunction:
            def outputs(images: NDArray[np.uint8]) -> Outputs:
                found, own = map(np.asarray, step(*member.weights, images))
                return with_distances(calibrated(own, calibration), found, known)

            return outputs

        mean = mean_of(list(map(outputs_of, members, calibrations)))
        mean = with_mirror_images(mean) if tta else mean
        network = Predictor(mean, classifier.classes, size, temperatures, classifier.resize)
        yield from classify(
            part.of(files),
            network,
            batch=batch,
            unsure_below=unsure_below,
            typicality=typicality,
            after=after,
            read=read,
            emit=emit,
        )
