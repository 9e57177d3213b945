"""Measure a trained run on labelled photos."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from kvgg_jax.core.errors import DataError, RunError
from kvgg_jax.core.events import Emit, Note, ignore
from kvgg_jax.core.memory import inference_memory_advice
from kvgg_jax.core.process import cache_folder
from kvgg_jax.core.state import empty_batch
from kvgg_jax.core.tables.data import DataConfig
from kvgg_jax.core.text import counted, escape_name, first_names
from kvgg_jax.data.audit.color_baseline import ColorBaseline, color_baseline
from kvgg_jax.data.class_balance import count_per_class
from kvgg_jax.data.open_photos import open_photos, source_of
from kvgg_jax.data.reader import DecodedImages, read
from kvgg_jax.data.samples import Samples, check_classes
from kvgg_jax.data.sources.folder import Folder
from kvgg_jax.evaluation.metrics import compute_metrics, losses
from kvgg_jax.evaluation.record import Evaluation, rows, worst_mistakes
from kvgg_jax.inference.classifier import Classifier, load_classifier
from kvgg_jax.inference.prediction import Probabilities
from kvgg_jax.inference.temperature import apply_temperature, current_calibration
from kvgg_jax.models.compile import compile_step
from kvgg_jax.runs import catalog
from kvgg_jax.runs.manifest import check_overlap


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
    """Evaluate a run's best weights on labelled photos.

    Probabilities are calibrated where `calibrate` has fitted the run, unless `raw`.

    Without `data`: on the run's own validation part (`split="val"`, the default), its test part,
    or all that it was trained and validated on. With `data`: on all photos of that folder or list;
    with `split="val"` or "test" too, on those there that are in that part of the run. `batch_size`
    None means as many as in training. Raises DataError and RunError, ValueError for another
    `split`.
    """
    classifier = load_classifier(run, out=out, emit=emit)
    if split not in (None, "val", "test", "all"):
        raise ValueError(f"split {split!r}: use 'val', 'test' or 'all'")
    calibration = None if raw else current_calibration(classifier.run, classifier.state, emit)
    config, part = classifier.config, split or ("all" if data else "val")
    samples = _labelled(classifier, data, part, emit)
    decoded = read(
        samples,
        classifier.image_size,
        classifier.resize,
        skip_bad=config.data.skip_bad if skip_bad is None else skip_bad,
        cache=config.data.cache,
        folder=cache_folder(),
        emit=emit,
    )
    known = check_overlap(classifier.run, decoded, part, is_own=data is None, emit=emit)
    batch = batch_size or config.train.part_size
    probabilities, loss = measure(classifier, decoded, samples, batch, emit)
    if calibration is not None:
        probabilities = apply_temperature(probabilities, calibration.temperature)
        loss = float(losses(np.array(decoded.samples.labels), probabilities).mean())
    return make_evaluation(
        decoded.samples,
        probabilities,
        classifier.classes,
        run=classifier.run.path,
        split=part,
        loss=loss,
        state=classifier.state,
        resize=classifier.resize,
        calibration=calibration,
        color=_by_color(classifier, decoded.samples, emit),
        trained_on=known,
    )


def measure(
    classifier: Classifier, decoded: DecodedImages, samples: Samples, batch: int, emit: Emit
) -> tuple[Probabilities, float]:
    """The network's own probabilities of `samples`, which are among those `decoded`, and its mean
    loss. Raises RunError for NaN."""
    from kvgg_jax.data.pipeline import Pipeline, hold  # loads TensorFlow, which predict must not
    from kvgg_jax.training.loop import evaluate as run_batches
    from kvgg_jax.training.step import make_eval_step

    size = classifier.image_size
    with inference_memory_advice(batch, size):
        evaluation, example = make_eval_step(classifier.model), empty_batch(batch, size)
        step = compile_step("evaluation", evaluation, *classifier.weights, example, emit=emit)
        batches = Pipeline(hold(decoded), decoded.rows(samples), batch_size=batch)
        metrics, probabilities = run_batches(step, classifier.weights, batches, emit=emit)
    if not np.isfinite(probabilities).all():
        raise RunError(
            f"The best weights of {classifier.run.path} give probabilities that are no numbers. "
            "Train it anew, with a lower `optim.lr`."
        )
    return probabilities, metrics.loss


def make_evaluation(
    samples: Samples, probabilities: Probabilities, classes: tuple[str, ...], **facts: Any
) -> Evaluation:
    """All that follows from the photos and their probabilities, and the `facts` that do not."""
    return Evaluation(
        data=escape_name(samples.root.absolute()),
        count=len(samples),
        mistakes=worst_mistakes(rows(samples, probabilities, classes)),
        samples=samples,
        probabilities=probabilities,
        **compute_metrics(np.array(samples.labels), probabilities, classes),
        **facts,
    )


def _by_color(classifier: Classifier, evaluated: Samples, emit: Emit) -> ColorBaseline:
    """Learned from the run's own training part, where that is still there."""
    run = classifier.run
    try:
        train = run.split().train
    except RunError as error:  # the network can be evaluated without it
        return ColorBaseline(left_out=str(error).removesuffix("."))
    return color_baseline(train, evaluated, emit=emit)


def _labelled(
    classifier: Classifier, data: str | Path | None, part: str, emit: Emit = ignore
) -> Samples:
    """The photos to evaluate, labelled by the classes of the run."""
    run, own = classifier.run, classifier.config.data
    if data is None or part != "all":
        split = run.split(source_of(own.at(data)))
        found = split.all if part == "all" else split.test if part == "test" else split.val
        if found is None:
            raise DataError(
                f"{run.path} has no test photos. Train with some that training does not use: "
                "`data.test_split`, `data.test`."
            )
        return found
    found = open_photos(DataConfig(dir=str(data)), to_train=False, emit=emit)
    check_classes(found, classifier.classes, of=run.path)
    found = found.relabel(classifier.classes)
    _tell_of_gaps(found, emit)
    return found


def _tell_of_gaps(samples: Samples, emit: Emit) -> None:
    """A Note on classes without photos, and one on files that have no label."""
    gaps = np.flatnonzero(count_per_class(samples) == 0)
    if absent := [escape_name(samples.classes[label]) for label in gaps]:
        emit(Note(f"{escape_name(samples.root)} has no photos of {', '.join(absent)}"))
    if isinstance(samples.source, Folder):
        unused = [path for path, _ in samples.source.unused(samples.paths)]
        if unused:
            names = first_names(unused)
            emit(Note(f"Left out {counted(len(unused), 'file')} without a class: {names}"))
