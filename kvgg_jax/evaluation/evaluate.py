"""Measure a trained run on labelled photos."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kvgg_jax.core.errors import DataError, RunError
from kvgg_jax.core.events import Emit, Note, ignore
from kvgg_jax.core.memory import inference_memory_advice
from kvgg_jax.core.process import cache_folder
from kvgg_jax.core.state import Batch, empty_batch
from kvgg_jax.core.tables.data import DataConfig
from kvgg_jax.core.text import counted, escape_name, first_names
from kvgg_jax.data.audit.color_baseline import ColorBaseline, color_baseline
from kvgg_jax.data.class_balance import count_per_class
from kvgg_jax.data.open_photos import open_photos, source_of
from kvgg_jax.data.reader import DecodedImages, read
from kvgg_jax.data.samples import Samples, check_classes
from kvgg_jax.data.sources.folder import Folder
from kvgg_jax.evaluation.metrics import compute_metrics, losses
from kvgg_jax.evaluation.record import Evaluation, Member, rows, worst_mistakes
from kvgg_jax.evaluation.unknown import measure_unknown
from kvgg_jax.inference.certainty import calibrations_of
from kvgg_jax.inference.classifier import Classifier, members_of
from kvgg_jax.inference.prediction import Labels, Probabilities
from kvgg_jax.inference.temperature import Calibration, calibrated
from kvgg_jax.models.compile import compile_step
from kvgg_jax.models.functional import Arrays
from kvgg_jax.runs import catalog
from kvgg_jax.runs.manifest import check_overlap


def evaluate(
    run: str | Path | None = None,
    *,
    data: str | Path | None = None,
    split: str | None = None,
    skip_bad: bool | None = None,
    raw: bool = False,
    tta: bool = False,
    unknown: str | Path | None = None,
    batch_size: int | None = None,
    out: str | Path = catalog.OUT,
    emit: Emit = ignore,
) -> Evaluation:
    """Evaluate a run's best weights on labelled photos.

    Probabilities are calibrated where `calibrate` has fitted the run, unless `raw`.

    Without `data`: on the run's own validation part (`split="val"`, the default), its test part,
    or all that it was trained and validated on. With `data`: on all photos of that folder or list;
    with `split="val"` or "test" too, on those there that are in that part of the run. `unknown` is
    a folder of photos that are of none of the classes: how well they are told. `batch_size`
    None means as many as in training. With `tta` the probabilities are the mean of those of the
    photo and of its mirror image.

    `run` may be the folder of a cross-validation: then they are the mean of those of its folds.
    Each of its photos was learned by some fold, so it needs `data` or `split="test"`. Raises
    DataError and RunError, ValueError for another `split`.
    """
    if split not in (None, "val", "test", "all"):
        raise ValueError(f"split {split!r}: use 'val', 'test' or 'all'")
    members = members_of(run, out=out, emit=emit)
    classifier, part = members[0], split or ("all" if data else "val")
    if len(members) > 1:
        _check_unseen(classifier.run.path.parent, data, part)
    calibrations = calibrations_of(members, raw=raw, emit=emit)
    samples = _labelled(classifier, data, part, emit)
    config = classifier.config
    decoded = read(
        samples,
        classifier.image_size,
        classifier.resize,
        skip_bad=config.data.skip_bad if skip_bad is None else skip_bad,
        cache=config.data.cache,
        folder=cache_folder(),
        emit=emit,
    )
    runs = [one.run for one in members]
    known = check_overlap(runs, decoded, part, is_own=data is None, emit=emit)
    batch = batch_size or config.train.part_size
    views = measure_each(members, decoded, samples, batch, tta=tta, emit=emit)
    probabilities, loss = _mean(views, calibrations, np.array(decoded.samples.labels))
    unknowns = None
    if unknown is not None:
        unknowns = measure_unknown(classifier, decoded.samples, unknown, batch=batch, emit=emit)
    return make_evaluation(
        decoded.samples,
        probabilities,
        classifier.classes,
        split=part,
        loss=loss,
        tta=tta,
        resize=classifier.resize,
        color=_by_color(classifier, decoded.samples, emit),
        trained_on=known,
        unknown=unknowns,
        **_networks(members, calibrations),
    )


def _check_unseen(path: Path, data: str | Path | None, part: str) -> None:
    """Raises DataError for photos that the folds of `path` were trained on."""
    if part == "val" or (part == "all" and data is None):
        raise DataError(
            f"{escape_name(path)} has no photos of its own that none of its folds was trained on: "
            "what one held out, the others learned. Evaluate it on other photos: --data DIR, or "
            "--split test if it was made with --test-split."
        )


def _networks(
    members: Sequence[Classifier], calibrations: Sequence[Calibration | None]
) -> dict[str, Any]:
    """What a record says of them."""
    run = members[0].run.path
    if len(members) == 1:
        return {"run": run, "state": members[0].state, "calibration": calibrations[0]}
    pairs = zip(members, calibrations, strict=True)
    return {
        "run": run.parent,
        "state": "+".join(one.state for one in members),
        "calibration": None,
        "members": tuple(
            Member(run=str(one.run.path), state=one.state, temperature=its and its.temperature)
            for one, its in pairs
        ),
    }


Measured = tuple[Probabilities, float]
"""A network's own probabilities of some photos, and its mean loss."""


def _mean(
    views: Sequence[Sequence[Measured]], calibrations: Sequence[Calibration | None], true: Labels
) -> Measured:
    """Over views and networks, each network calibrated if it has a calibration."""
    if len(views) == len(calibrations) == 1 and calibrations[0] is None:
        return views[0][0]  # with the loss that training recorded, to the bit
    each = [
        calibrated(own, calibration)
        for view in views
        for (own, _), calibration in zip(view, calibrations, strict=True)
    ]
    found = np.mean(each, axis=0)
    return found, float(losses(true, found).mean())


def measure(
    classifier: Classifier, decoded: DecodedImages, samples: Samples, batch: int, emit: Emit
) -> Measured:
    """Of one network, as `measure_each` has it."""
    return measure_each([classifier], decoded, samples, batch, emit=emit)[0][0]


def measure_each(
    members: Sequence[Classifier],
    decoded: DecodedImages,
    samples: Samples,
    batch: int,
    *,
    tta: bool = False,
    emit: Emit,
) -> list[list[Measured]]:
    """Of `samples`, which are among those `decoded`, for each network; with `tta` a second list of
    their mirror images. One program serves all networks. Raises RunError for NaN."""
    from kvgg_jax.data.pipeline import Pipeline, hold  # loads TensorFlow, which predict must not
    from kvgg_jax.training.loop import evaluate as run_batches
    from kvgg_jax.training.step import EvalStep, make_eval_step

    first = members[0]
    size, upright = first.image_size, make_eval_step(first.model)

    def mirror(params: Arrays, model_state: Arrays, rows: Batch) -> Any:
        return upright(params, model_state, rows._replace(images=rows.images[:, :, ::-1]))

    def run_one(step: EvalStep, one: Classifier) -> Measured:
        metrics, probabilities = run_batches(step, one.weights, batches, emit=emit)
        if not np.isfinite(probabilities).all():
            raise RunError(
                f"The best weights of {one.run.path} give probabilities that are no numbers. "
                "Train it anew, with a lower `optim.lr`."
            )
        return probabilities, metrics.loss

    with inference_memory_advice(batch, size):
        batches = Pipeline(hold(decoded), decoded.rows(samples), batch_size=batch)
        example, views = empty_batch(batch, size), []
        for function in (upright, mirror) if tta else (upright,):
            step = compile_step("evaluation", function, *first.weights, example, emit=emit)
            views.append([run_one(step, one) for one in members])
    return views


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
