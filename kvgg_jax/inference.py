"""`predict` and `evaluate`: a trained run put to use. `predict` never loads TensorFlow."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from kvgg_jax import runs
from kvgg_jax.checkpoint import Checkpoints
from kvgg_jax.compiled import cache_folder, compile_step
from kvgg_jax.config import RunConfig
from kvgg_jax.data.folder import Samples, find_pictures, scan
from kvgg_jax.data.image import load
from kvgg_jax.data.reader import read
from kvgg_jax.errors import DataError, ImageError, RunError, shown
from kvgg_jax.events import Emit, Note, Progress, ignore
from kvgg_jax.forward import make_predict_step, weight_shapes
from kvgg_jax.metrics import ClassScore, class_scores, confusion_matrix
from kvgg_jax.runs import Run
from kvgg_jax.state import Weights, empty_batch

if TYPE_CHECKING:
    from kvgg_jax.keras_gate import keras

MAX_BATCH = 32  # pictures predicted at once


@dataclass(frozen=True)
class Classifier:
    """A run's network with its best weights; `model` is a plain `keras.Model` that has them too."""

    run: Run
    config: RunConfig
    classes: tuple[str, ...]
    weights: Weights

    @cached_property
    def model(self) -> keras.Model:
        """Built when it is first asked for: `predict` does without Keras."""
        from kvgg_jax.model import vgg
        from kvgg_jax.step import variable_names

        config, size = self.config, self.image_size
        precision = config.train.precision
        model = vgg(
            config.model,
            classes=len(self.classes),
            image_size=size,
            precision=precision,
            seed=None,
        )
        for part, variables in zip(
            self.weights, (model.trainable_variables, model.non_trainable_variables), strict=True
        ):
            for name, variable in zip(variable_names(variables), variables, strict=True):
                variable.assign(np.array(part[name]))  # a copy: Keras donates its own arrays
        return model

    @property
    def image_size(self) -> int:
        """Pixels a side of the network's input."""
        assert self.config.data.image_size is not None, "a run's config is complete"
        return self.config.data.image_size


@dataclass(frozen=True, slots=True)
class Prediction:
    """Classes of one file by falling probability; `error` instead when it cannot be read."""

    path: Path
    top: tuple[tuple[str, float], ...] = ()
    error: str | None = None

    @property
    def label(self) -> str:
        """The most probable class. Raises ImageError for a file that could not be read."""
        return self._first[0]

    @property
    def probability(self) -> float:
        """Of the most probable class, in [0, 1]. Raises ImageError as `label` does."""
        return self._first[1]

    @property
    def _first(self) -> tuple[str, float]:
        if self.error is not None:
            raise ImageError(self.error)
        return self.top[0]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """How a run does on labelled photos. `confusion` counts [true, predicted]."""

    run: Path
    split: str
    samples: Samples
    loss: float
    accuracy: float
    classes: dict[str, ClassScore]
    confusion: NDArray[np.int64]
    probabilities: NDArray[np.float32]
    """[count, classes], in the order of `samples`."""

    @property
    def count(self) -> int:
        """Pictures judged."""
        return len(self.samples)


def load_classifier(
    run: str | Path | None = None, *, out: str | Path = runs.OUT, emit: Emit = ignore
) -> Classifier:
    """The network of a run (None: the newest finished one) with its best weights.

    Raises RunError when there is no such run, or it has no checkpoint that fits.
    """
    found = runs.find(run, out=Path(out))
    config, classes = found.config(), found.classes()
    if not found.checkpoints.is_dir():
        raise RunError(
            f"{found.path} has no checkpoint yet. Let it finish an epoch: "
            f"kvgg train --resume {found.path}"
        )
    size = config.data.image_size
    assert size is not None, "a run's config is complete"
    shapes = weight_shapes(config.model, classes=len(classes), image_size=size)
    sealed = found.format() > 1
    with Checkpoints(found.checkpoints, read_only=True, sealed=sealed, emit=emit) as checkpoints:
        weights = checkpoints.load_best(shapes)
    return Classifier(found, config, classes, weights)


def predict(
    paths: Iterable[str | Path] | str | Path,
    run: str | Path | Classifier | None = None,
    *,
    out: str | Path = runs.OUT,
    emit: Emit = ignore,
) -> list[Prediction]:
    """Classify files, and the pictures in folders, with the best weights of a run.

    A file that cannot be read gives a Prediction with `error`; the others are still answered.
    Raises RunError for the run, DataError when there is nothing to classify.
    """
    given = [paths] if isinstance(paths, str | Path) else paths
    files = find_pictures([Path(path) for path in given])
    if not files:
        raise DataError("No images to classify: give image files, or folders that hold some.")
    classifier = run if isinstance(run, Classifier) else load_classifier(run, out=out, emit=emit)
    if run is None:
        emit(Note(f"Using {classifier.run.path}, the newest finished run"))
    train, count = classifier.config.train, min(len(files), MAX_BATCH)
    # bfloat16 rounds as the batch is cut, so there the cut is that of evaluation.
    batch = count if train.precision == "float32" else train.part_size
    example = empty_batch(batch, classifier.image_size).images
    function = make_predict_step(classifier.config.model, precision=train.precision)
    step = compile_step("prediction", function, *classifier.weights, example, emit=emit)
    found: list[Prediction] = []
    with ThreadPoolExecutor() as pool:
        for start in range(0, len(files), batch):
            chunk = files[start : start + batch]
            loaded = list(pool.map(partial(_load, size=classifier.image_size), chunk))
            images = example.copy()
            for row, picture in enumerate(loaded):
                images[row] = 0 if isinstance(picture, ImageError) else picture
            _, probabilities = step(*classifier.weights, images)
            found += [
                _prediction(path, picture, row, classifier.classes)
                for path, picture, row in zip(
                    chunk, loaded, np.asarray(probabilities), strict=False
                )
            ]
            emit(Progress("predicting", len(found), len(files)))
    return found


def _load(path: Path, *, size: int) -> NDArray[np.uint8] | ImageError:
    try:
        return load(path, size)
    except ImageError as error:
        return error


def _prediction(
    path: Path,
    picture: NDArray[np.uint8] | ImageError,
    probabilities: NDArray[np.float32],
    classes: tuple[str, ...],
) -> Prediction:
    if isinstance(picture, ImageError):
        return Prediction(path, error=str(picture))
    order = np.argsort(-probabilities, kind="stable")
    return Prediction(path, tuple((classes[k], float(probabilities[k])) for k in order))


def evaluate(
    run: str | Path | None = None,
    *,
    data: str | Path | None = None,
    split: str | None = None,
    skip_bad: bool | None = None,
    out: str | Path = runs.OUT,
    emit: Emit = ignore,
) -> Evaluation:
    """Judge a run's best weights on labelled photos.

    Without `data`: on the run's own validation part (`split="val"`, the default), or all of its
    photos. With `data`: on all of that folder; with `split="val"` too, on the files there that the
    run dealt to validation. Raises DataError and RunError, ValueError for another `split`.
    """
    from kvgg_jax.data.pipeline import Pipeline, hold  # loads TensorFlow, which predict must not
    from kvgg_jax.loop import evaluate as measure
    from kvgg_jax.step import make_eval_step

    classifier = load_classifier(run, out=out, emit=emit)
    if split not in (None, "val", "all"):
        raise ValueError(f"split {split!r}: use 'val' or 'all'")
    config, part = classifier.config, split or ("all" if data else "val")
    samples = _labelled(classifier, data, part)
    skip = config.data.skip_bad if skip_bad is None else skip_bad
    pictures = read(
        samples,
        classifier.image_size,
        skip_bad=skip,
        cache=config.data.cache,
        folder=cache_folder(),
        emit=emit,
    )
    batch = config.train.part_size
    example = empty_batch(batch, classifier.image_size)
    step = compile_step(
        "evaluation", make_eval_step(classifier.model), *classifier.weights, example, emit=emit
    )
    rows = pictures.rows(samples)
    batches = Pipeline(hold(pictures), rows, batch_size=batch)
    metrics, probabilities = measure(step, classifier.weights, batches, emit=emit)
    true = np.array(pictures.samples.labels)
    confusion = confusion_matrix(true, probabilities.argmax(axis=1), len(classifier.classes))
    return Evaluation(
        run=classifier.run.path,
        split=part,
        samples=pictures.samples,
        loss=metrics.loss,
        accuracy=metrics.accuracy,
        classes=dict(zip(classifier.classes, class_scores(confusion), strict=True)),
        confusion=confusion,
        probabilities=probabilities,
    )


def _labelled(classifier: Classifier, data: str | Path | None, part: str) -> Samples:
    """The photos to judge, labelled by the classes of the run."""
    run, own = classifier.run, classifier.config.data.dir
    root = Path(data or str(own))
    if data is None or part == "val":
        dealt = run.split(root)
        return dealt.val if part == "val" else dealt.all
    found = scan(root)
    unknown = [name for name in found.classes if name not in classifier.classes]
    if unknown:
        raise DataError(
            f"{root} has classes that {run.path} does not know: {', '.join(map(shown, unknown))}. "
            f"It knows: {', '.join(map(shown, classifier.classes))}."
        )
    return found.relabel(classifier.classes)
