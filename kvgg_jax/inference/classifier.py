"""`predict` and `evaluate`: a trained run put to use. `predict` never loads TensorFlow."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from kvgg_jax.core.config import RunConfig
from kvgg_jax.core.errors import DataError, RunError, shown
from kvgg_jax.core.events import Emit, Note, ignore
from kvgg_jax.core.memory import judging_advice
from kvgg_jax.core.paths import cache_folder
from kvgg_jax.core.state import Weights, empty_batch
from kvgg_jax.data.audit.color_baseline import ColourBaseline, colour_baseline
from kvgg_jax.data.folder import Samples, scan
from kvgg_jax.data.reader import read
from kvgg_jax.evaluation.confusion import ClassScore, class_scores, confusion_matrix
from kvgg_jax.evaluation.metrics import Scores, judge
from kvgg_jax.inference import onnx_session
from kvgg_jax.inference.prediction import MAX_BATCH, Prediction, classify, find_files, thresholded
from kvgg_jax.inference.temperature import Calibration, cross_entropy, in_force, soften, threshold
from kvgg_jax.models.compile import compile_step
from kvgg_jax.models.functional import make_predict_step, weight_shapes
from kvgg_jax.runs import catalog
from kvgg_jax.runs.checkpoint import Checkpoints
from kvgg_jax.runs.folder import Run
from kvgg_jax.runs.overlap import meet_again

if TYPE_CHECKING:
    from kvgg_jax.core.keras_gate import keras


@dataclass(frozen=True)
class Classifier:
    """A run's network with its best weights; `model` is a plain `keras.Model` that has them too."""

    run: Run
    config: RunConfig
    classes: tuple[str, ...]
    weights: Weights
    state: str
    """Name of the saved step that the weights are of."""

    @cached_property
    def model(self) -> keras.Model:
        """Built when it is first asked for: `predict` does without Keras."""
        from kvgg_jax.models.build import vgg
        from kvgg_jax.training.step import variable_names

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
        return self.config.image_size


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
    probabilities: NDArray[np.floating]
    """[count, classes], in the order of `samples`; `loss` and `scores` are of these."""
    scores: Scores
    state: str
    """Name of the saved step that was judged."""
    calibration: Calibration | None
    """What the probabilities were calibrated by; None for the network's own."""
    colour: ColourBaseline
    """What colour alone says of these photos."""
    trained_on: int | None = 0
    """How many of them the run was trained on; None where it does not tell. 0 for its validation
    part, which is not looked through."""

    @property
    def count(self) -> int:
        """Pictures judged."""
        return len(self.samples)

    @property
    def mistakes(self) -> list[int]:
        """Rows of the pictures called wrongly, the most confident call first."""
        predicted = self.probabilities.argmax(axis=1)
        wrong = np.flatnonzero(predicted != np.array(self.samples.labels))
        confidence = self.probabilities[wrong, predicted[wrong]]
        return wrong[np.argsort(-confidence, kind="stable")].tolist()


def load_classifier(
    run: str | Path | None = None, *, out: str | Path = catalog.OUT, emit: Emit = ignore
) -> Classifier:
    """The network of a run (None: the newest finished one) with its best weights.

    Raises RunError when there is no such run, or it has no checkpoint that fits.
    """
    found = catalog.find(run, out=Path(out))
    config, classes = found.config(), found.classes()
    if not found.checkpoints.is_dir():
        raise RunError(
            f"{found.path} has no checkpoint yet. Let it finish an epoch: "
            f"kvgg train --resume {found.path}"
        )
    shapes = weight_shapes(config.model, classes=len(classes), image_size=config.image_size)
    sealed = found.format() > 1
    with Checkpoints(found.checkpoints, read_only=True, sealed=sealed, emit=emit) as checkpoints:
        state, weights = checkpoints.load_named_best(shapes)
    return Classifier(found, config, classes, weights, state)


def predict(
    paths: Iterable[str | Path] | str | Path,
    run: str | Path | Classifier | None = None,
    *,
    raw: bool = False,
    unsure_below: float | None = None,
    batch_size: int | None = None,
    out: str | Path = catalog.OUT,
    emit: Emit = ignore,
) -> list[Prediction]:
    """Classify files, and the pictures in folders, with the best weights of a run.

    Probabilities are calibrated where `calibrate` has fitted the run, unless `raw`. `unsure_below`
    is in [0, 1]; None means 0.7 (`temperature.UNSURE_BELOW`) where they are, else no threshold.
    `batch_size` pictures are judged at once: None means up to 32, or for a run in bfloat16, which
    rounds as the batch is cut, as many as in its training.
    `run` may be an ONNX file that `export` made, too, which has its calibration inside: then `raw`
    is a UsageError.
    A file that cannot be read gives a Prediction with `error`; the others are still answered.
    Raises RunError for the run, DataError when there is nothing to classify, ValueError for a
    threshold that is no probability.
    """
    if unsure_below is not None and not 0 <= unsure_below <= 1:
        raise ValueError(f"unsure_below {unsure_below}: a probability is in [0, 1]")
    if onnx_session.is_onnx(run):
        return onnx_session.predict(
            paths, run, raw=raw, unsure_below=unsure_below, batch_size=batch_size, emit=emit
        )
    files = find_files(paths)
    classifier = run if isinstance(run, Classifier) else load_classifier(run, out=out, emit=emit)
    if run is None:
        emit(Note(f"Using {classifier.run.path}, the newest finished run"))
    calibration, unsure_below = certainty(classifier, raw=raw, unsure_below=unsure_below, emit=emit)
    train, count = classifier.config.train, min(len(files), batch_size or MAX_BATCH)
    # bfloat16 rounds as the batch is cut, so there the cut is that of evaluation.
    batch = count if train.precision == "float32" or batch_size else train.part_size
    size, classes = classifier.image_size, classifier.classes
    with judging_advice(batch, size):
        function = make_predict_step(classifier.config.model, precision=train.precision)
        example = empty_batch(batch, size).images
        step = compile_step("prediction", function, *classifier.weights, example, emit=emit)

        def judged(images: NDArray[np.uint8]) -> NDArray[np.floating]:
            own = np.asarray(step(*classifier.weights, images)[1])
            return own if calibration is None else soften(own, calibration.temperature)

        found = classify(files, judged, classes, size=size, batch=batch, emit=emit)
    return thresholded(found, calibrated=calibration is not None, unsure_below=unsure_below)


def certainty(
    classifier: Classifier, *, raw: bool, unsure_below: float | None, emit: Emit
) -> tuple[Calibration | None, float | None]:
    """What its probabilities are calibrated by, and below which one an answer is unsure."""
    calibration = None if raw else in_force(classifier.run, classifier.state, emit)
    temperature = calibration.temperature if calibration else None
    return calibration, threshold(temperature, unsure_below, emit)


def evaluate(
    run: str | Path | None = None,
    *,
    data: str | Path | None = None,
    split: str | None = None,
    skip_bad: bool | None = None,
    raw: bool = False,
    batch_size: int | None = None,
    out: str | Path = catalog.OUT,
    emit: Emit = ignore,
) -> Evaluation:
    """Judge a run's best weights on labelled photos.

    Probabilities are calibrated where `calibrate` has fitted the run, unless `raw`.

    Without `data`: on the run's own validation part (`split="val"`, the default), or all of its
    photos. With `data`: on all of that folder; with `split="val"` too, on the files there that the
    run dealt to validation. `batch_size` of them are judged at once, None means as many as in
    training. Raises DataError and RunError, ValueError for another `split`.
    """
    from kvgg_jax.data.pipeline import Pipeline, hold  # loads TensorFlow, which predict must not
    from kvgg_jax.training.loop import evaluate as measure
    from kvgg_jax.training.step import make_eval_step

    classifier = load_classifier(run, out=out, emit=emit)
    if split not in (None, "val", "all"):
        raise ValueError(f"split {split!r}: use 'val' or 'all'")
    calibration = None if raw else in_force(classifier.run, classifier.state, emit)
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
    known = meet_again(classifier.run, pictures, part, is_own=data is None, emit=emit)
    batch, size = batch_size or config.train.part_size, classifier.image_size
    with judging_advice(batch, size):
        evaluation, example = make_eval_step(classifier.model), empty_batch(batch, size)
        step = compile_step("evaluation", evaluation, *classifier.weights, example, emit=emit)
        batches = Pipeline(hold(pictures), pictures.rows(samples), batch_size=batch)
        metrics, own = measure(step, classifier.weights, batches, emit=emit)
    if not np.isfinite(own).all():
        raise RunError(
            f"The best weights of {classifier.run.path} give probabilities that are no numbers. "
            "Train it anew, with a lower --lr."
        )
    true = np.array(pictures.samples.labels)
    probabilities = own if calibration is None else soften(own, calibration.temperature)
    loss = metrics.loss if calibration is None else cross_entropy(true, probabilities)
    confusion = confusion_matrix(true, probabilities.argmax(axis=1), len(classifier.classes))
    return Evaluation(
        run=classifier.run.path,
        split=part,
        samples=pictures.samples,
        loss=loss,
        accuracy=metrics.accuracy,
        classes=dict(zip(classifier.classes, class_scores(confusion), strict=True)),
        confusion=confusion,
        probabilities=probabilities,
        scores=judge(true, probabilities),
        state=classifier.state,
        calibration=calibration,
        colour=_by_colour(classifier, pictures.samples, emit),
        trained_on=known,
    )


def _by_colour(classifier: Classifier, judged: Samples, emit: Emit) -> ColourBaseline:
    """Learnt from the run's own training part, where that is still there."""
    run = classifier.run
    try:
        train = run.split(Path(str(classifier.config.data.dir))).train
    except RunError as error:  # the network can be judged without it
        return ColourBaseline(left_out=str(error).removesuffix("."))
    return colour_baseline(train, judged, emit=emit)


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
