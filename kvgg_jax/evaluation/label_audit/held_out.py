"""For each photo, probabilities of a model that was not trained on it: of a cross-validation, or by
its features from a frozen backbone, in minutes."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import reduce
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kvgg_jax.core.config import RunConfig
from kvgg_jax.core.errors import ConfigError, DataError, RunError
from kvgg_jax.core.events import Emit, Event, Note
from kvgg_jax.core.places import is_missing
from kvgg_jax.core.process import cache_folder
from kvgg_jax.core.text import counted, escape_name, first_names
from kvgg_jax.data.class_balance import count_per_class
from kvgg_jax.data.samples import Samples, join
from kvgg_jax.data.sources.folder import Folder
from kvgg_jax.data.sources.listing import Listed
from kvgg_jax.evaluation.evaluate import measure
from kvgg_jax.evaluation.label_audit.out_of_fold import FOLDS, predict_out_of_fold
from kvgg_jax.inference.classifier import load_classifier
from kvgg_jax.inference.prediction import Probabilities
from kvgg_jax.models.build import build, variable_names
from kvgg_jax.runs.folder import Run
from kvgg_jax.runs.folds import is_crossval, read_folds
from kvgg_jax.training.inputs import complete_config, read_photos
from kvgg_jax.training.transfer.frozen_features import features
from kvgg_jax.training.transfer.initial_weights import load_initial_weights


@dataclass(frozen=True, slots=True)
class HeldOut:
    """Photos, with probabilities of models that were not trained on them."""

    samples: Samples
    probabilities: Probabilities
    """[count, classes], in the order of `samples`."""
    how: str
    """Where they come from, as part of a sentence."""
    distances: NDArray[np.float64] | None = None
    """[count], mean cosine distance to the nearest other photos; None without features."""


def from_crossval(run: str | Path, *, out: Path, emit: Emit) -> HeldOut:
    """Of the photos that each fold of a cross-validation held out, by its best weights.

    Raises RunError for a folder that is none, or is not finished, and DataError where photos were
    moved since; both say what to do.
    """
    path = next((one for one in (Path(run), out / run) if one.is_dir()), out / run)
    parts, probabilities, folds = [], [], _folds(path)
    _check_there(path, folds)
    for fold in folds:
        emit(Note(f"Fold {fold.path.name.removeprefix('fold-')} of {escape_name(path)}"))
        classifier = load_classifier(fold.path, emit=emit)
        config = classifier.config
        decoded = read_photos(fold.split().val, config, emit)
        batch = config.train.part_size
        found, _ = measure(classifier, decoded, decoded.samples, batch, emit)
        parts.append(decoded.samples)
        probabilities.append(found)
    how = f"the {len(parts)} folds of {escape_name(path)}"
    return HeldOut(reduce(join, parts), np.concatenate(probabilities).astype(np.float64), how)


def _folds(path: Path) -> list[Run]:
    """The runs of a finished cross-validation."""
    need = "An audit needs each photo held out once"
    advice = (
        "cross-validate first (kvgg crossval --data DIR), or let a frozen backbone do it in "
        "minutes: kvgg audit DIR."
    )
    name = escape_name(path)
    if Run(path).exists:
        held, total = len(Run(path).split().val), len(Run(path).split().all)
        raise RunError(f"{name} holds out {held:,} of its {total:,} photos. {need}: {advice}")
    if not is_crossval(path):
        raise RunError(f"{name} is no cross-validation. {need}: {advice}")
    return read_folds(path)


def _check_there(path: Path, folds: list[Run]) -> None:
    """Raises DataError where photos were moved; a run with `data.skip_bad` leaves them out."""
    held = [fold.split().val for fold in folds if not fold.config().data.skip_bad]
    if gone := [name for samples in held for name in _gone(samples)]:
        raise DataError(
            f"{counted(len(gone), 'photo')} moved or removed since {escape_name(path)} was made: "
            f"{first_names(gone)}. Undo the moves, or cross-validate again under another --name."
        )


def _gone(samples: Samples) -> list[str]:
    """The names of files that are not there; none where the whole folder is missing."""
    files = samples.source
    if not isinstance(files, Folder | Listed) or is_missing(files.root):
        return []
    return [name for name in map(files.name, samples.paths) if not os.path.lexists(name)]


def from_features(
    samples: Samples, config: RunConfig, groups: NDArray[np.int64], *, emit: Emit
) -> HeldOut:
    """By the features of a frozen backbone, without training it; `config` is of `complete`.

    Photos of one of the `groups` [count] are duplicates. Raises DataError for a class of fewer
    than `FOLDS` photos.
    """
    counts = count_per_class(samples)
    few = int(counts.argmin())
    if counts[few] < FOLDS:
        raise DataError(
            f"{escape_name(samples.root)} has {counted(int(counts[few]), 'photo')} of class "
            f"{escape_name(samples.classes[few])}; an audit needs at least {FOLDS} per class."
        )
    found, samples, rows = compute_features(samples, config, emit)
    probabilities, distances = predict_out_of_fold(
        found, np.array(samples.labels), groups[rows], seed=config.seed, emit=emit
    )
    size, arch = config.image_size, config.model.arch
    how = f"{FOLDS} folds on features of {arch} at {size} px"
    return HeldOut(samples, probabilities, how, distances)


def complete(config: RunConfig, *, out: Path, emit: Emit) -> RunConfig:
    """`config` for `from_features`. Raises ConfigError for a backbone with random weights."""
    if config.model.weights is None:
        raise ConfigError(
            "An audit needs a backbone with given weights: `model.weights = imagenet`."
        )
    config = config.with_model(freeze="backbone", head="linear")
    return complete_config(config, emit, out=out)


def compute_features(
    samples: Samples, config: RunConfig, emit: Emit
) -> tuple[NDArray[np.float32], Samples, NDArray[np.int64]]:
    """Those of a linear head, [count, channels]; the samples that could be read, and where they
    are in `samples`. They are kept in the cache folder, for a run with this backbone too."""
    decoded = read_photos(samples, config, emit)
    built = build(
        config.model,
        classes=len(samples.classes),
        image_size=config.image_size,
        precision=config.train.precision,
        seed=config.seed,
    )
    initial = load_initial_weights(config, samples.classes, emit)
    assert initial is not None, "`complete` refuses random weights"
    initial.assign(built.model)
    variables = built.model.variables
    weights = dict(zip(variable_names(variables), [v.value for v in variables], strict=True))

    def without_notes(event: Event) -> None:  # where features are kept is of no interest here
        if not isinstance(event, Note):
            emit(event)

    found = features(config, decoded, (weights, {}), folder=cache_folder(), emit=without_notes)
    rows = np.arange(len(decoded.samples))
    return found[rows], decoded.samples, samples.rows(decoded.samples)
