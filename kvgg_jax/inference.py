"""`predict` and `evaluate`: a trained run put to use. `predict` never loads TensorFlow."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kvgg_jax import onnx_session, runs
from kvgg_jax.checkpoint import Checkpoints
from kvgg_jax.compiled import cache_folder, compile_step, keep_compiled_programs
from kvgg_jax.config import RunConfig
from kvgg_jax.data.folder import Samples, scan
from kvgg_jax.data.reader import read
from kvgg_jax.errors import DataError, RunError, shown
from kvgg_jax.events import Emit, Note, ignore
from kvgg_jax.keras_gate import keras
from kvgg_jax.metrics import ClassScore, class_scores, confusion_matrix
from kvgg_jax.model import vgg
from kvgg_jax.prediction import MAX_BATCH, Prediction, classify, find_files
from kvgg_jax.runs import Run
from kvgg_jax.state import Weights
from kvgg_jax.step import (
    empty_batch,
    make_eval_step,
    make_predict_step,
    variable_names,
    weight_shapes,
)


@dataclass(frozen=True, slots=True)
class Classifier:
    """A run's network with its best weights; `model` is a plain `keras.Model` that has them too."""

    run: Run
    config: RunConfig
    classes: tuple[str, ...]
    model: keras.Model
    weights: Weights

    @property
    def image_size(self) -> int:
        """Pixels a side of the network's input."""
        assert self.config.data.image_size is not None, "a run's config is complete"
        return self.config.data.image_size


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
    keep_compiled_programs()  # Keras compiles small ones as it builds the network
    found = runs.find(run, out=Path(out))
    config, classes = found.config(), found.classes()
    if not found.checkpoints.is_dir():
        raise RunError(
            f"{found.path} has no checkpoint yet. Let it finish an epoch: "
            f"kvgg train --resume {found.path}"
        )
    model = vgg(
        config.model,
        classes=len(classes),
        image_size=config.data.image_size or 0,
        precision=config.train.precision,
        seed=None,
    )
    sealed = found.format() > 1
    with Checkpoints(found.checkpoints, read_only=True, sealed=sealed, emit=emit) as checkpoints:
        weights = checkpoints.load_best(weight_shapes(model))
    for part, variables in zip(
        weights, (model.trainable_variables, model.non_trainable_variables), strict=True
    ):
        for name, variable in zip(variable_names(variables), variables, strict=True):
            variable.assign(np.array(part[name]))  # a copy: Keras donates its own arrays
    return Classifier(found, config, classes, model, weights)


def predict(
    paths: Iterable[str | Path] | str | Path,
    run: str | Path | Classifier | None = None,
    *,
    out: str | Path = runs.OUT,
    emit: Emit = ignore,
) -> list[Prediction]:
    """Classify files, and the pictures in folders, with the best weights of a run.

    `run` may be an ONNX file that `export` made, too.
    A file that cannot be read gives a Prediction with `error`; the others are still answered.
    Raises RunError for the run, DataError when there is nothing to classify.
    """
    if onnx_session.is_onnx(run):
        return onnx_session.predict(paths, run, emit=emit)
    files = find_files(paths)
    classifier = run if isinstance(run, Classifier) else load_classifier(run, out=out, emit=emit)
    if run is None:
        emit(Note(f"Using {classifier.run.path}, the newest finished run"))
    train, count = classifier.config.train, min(len(files), MAX_BATCH)
    # bfloat16 rounds as the batch is cut, so there the cut is that of evaluation.
    batch = count if train.precision == "float32" else train.part_size
    example = empty_batch(batch, classifier.image_size).images
    step = compile_step(
        "prediction", make_predict_step(classifier.model), *classifier.weights, example, emit=emit
    )
    return classify(
        files,
        lambda images: step(*classifier.weights, images)[1],
        classifier.classes,
        size=classifier.image_size,
        batch=batch,
        emit=emit,
    )


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
