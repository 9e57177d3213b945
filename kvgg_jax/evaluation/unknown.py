"""How well a run tells photos that are of none of its classes: `evaluate --unknown`."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from kvgg_jax.core.errors import DataError, RunError
from kvgg_jax.core.events import Emit, Note, Warned, ignore, only_progress
from kvgg_jax.core.text import escape_name
from kvgg_jax.data.decode.image import read_file
from kvgg_jax.data.samples import Samples, reader
from kvgg_jax.inference import known_photos
from kvgg_jax.inference.prediction import find_files
from kvgg_jax.runs.folder import Run

if TYPE_CHECKING:
    from kvgg_jax.inference.classifier import Classifier
    from kvgg_jax.inference.embedding import Embedded

RECALL = 0.95  # of the known photos, at which the false-positive rate is measured
Scores = NDArray[np.floating]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True)


class Separation(_Part):
    """How well a score tells known from unknown photos."""

    roc_area: float
    """The chance that an unknown photo looks more unknown than a known one."""
    false_positive_rate: float
    """Share of the unknown photos that pass for known where `RECALL` of the known ones do."""


class UnknownFigures(_Part):
    """What became of known photos, those evaluated, and of unknown ones; shares are in [0, 1]."""

    data: str
    """Folder of the unknown photos."""
    known: int
    count: int
    """Known and unknown photos."""
    unknown_below: float
    known_refused: float
    refused: float
    """Share of the known and of the unknown photos that `predict` calls unknown."""
    typicality: Separation
    probability: Separation
    """By the largest probability alone, for comparison."""


def measure_unknown(
    classifier: Classifier, known: Samples, folder: str | Path, *, batch: int, emit: Emit
) -> UnknownFigures:
    """On `known` photos, and on all images in `folder`, none of which should be of its classes.

    Unreadable ones are left out with a warning. Raises RunError for a run that keeps nothing to
    tell them by, DataError where no photo can be read.
    """
    from kvgg_jax.inference.embedding import make_embedder

    photos = known_photos.current(classifier.run, classifier.state, emit)
    if photos is None:
        raise RunError(known_photos.lacks(classifier.run))
    files = find_files(folder)
    batch = classifier.batch(max(len(known), len(files)), batch)
    embed_files = make_embedder(classifier, batch=batch, emit=only_progress(emit))
    inside = _readable(embed_files(known.files(), reader(known)), known.root, emit)
    outside = _readable(embed_files(files, read_file), folder, emit)
    far = [photos.distance(_vectors(part)) for part in (inside, outside)]
    sure = [np.array([one.prediction.probability for one in part]) for part in (inside, outside)]
    refused = [np.mean([one.prediction.unknown for one in part]) for part in (inside, outside)]
    return UnknownFigures(
        data=escape_name(Path(folder).absolute()),
        known=len(inside),
        count=len(outside),
        unknown_below=known_photos.UNKNOWN_BELOW,
        known_refused=float(refused[0]),
        refused=float(refused[1]),
        typicality=separation(*far),
        probability=separation(*(1 - one for one in sure)),
    )


def keep_where_missing(run: Run, state: str, emit: Emit) -> None:
    """Keep what tells unknown photos for a run that has not, as one from before there was any.

    What stands in the way is a Warned event: the run predicts without.
    """
    try:
        if known_photos.current(run, state, ignore) is not None:
            return
    except RunError:  # it is damaged, and made again
        with contextlib.suppress(OSError):
            (run.path / known_photos.FILE).unlink()
    from kvgg_jax.inference.classifier import load_classifier
    from kvgg_jax.inference.embedding import make_embedder

    classifier = load_classifier(run.path, emit=emit)

    def embed_parts(parts: Sequence[Samples]) -> list[known_photos.Vectors]:
        batch, vectors = classifier.batch(max(map(len, parts)), None), []
        embed_files = make_embedder(classifier, batch=batch, emit=only_progress(emit))
        for part in parts:
            found = list(embed_files(part.files(), reader(part)))
            if bad := [one.prediction.error for one in found if one.prediction.error]:
                raise DataError(bad[0])
            vectors.append(_vectors(found))
        return vectors

    try:
        known = known_photos.keep(run, classifier.state, run.split(), embed_parts, emit)
    except (DataError, RunError) as error:
        emit(Warned(f"{error} No photo will be unknown."))
        return
    if known is not None:
        emit(Note(f"Wrote {run.path / known_photos.FILE}: predict says 'unknown' by it"))


def separation(known: Scores, unknown: Scores) -> Separation:
    """Of scores that are higher for unknown photos."""
    from sklearn.metrics import roc_auc_score

    is_unknown = np.repeat([0, 1], [len(known), len(unknown)])
    limit = np.quantile(known, RECALL, method="inverted_cdf")
    return Separation(
        roc_area=float(roc_auc_score(is_unknown, np.concatenate([known, unknown]))),
        false_positive_rate=float((unknown <= limit).mean()),
    )


def unknown_rows(figures: UnknownFigures) -> list[tuple[str, str, str]]:
    """Score, area and rate, as text."""
    return [
        (name, f"{of.roc_area:.4f}", f"{of.false_positive_rate:.1%}")
        for name, of in (
            ("typicality", figures.typicality),
            ("largest probability", figures.probability),
        )
    ]


def unknown_text(figures: UnknownFigures) -> str:
    """What `predict` says of both."""
    return (
        f"Unknown photos: predict calls {figures.refused:.1%} of the {figures.count:,} in "
        f"{figures.data} unknown, and {figures.known_refused:.1%} of the {figures.known:,} known "
        f"ones (typicality below {figures.unknown_below:.0%})"
    )


def _readable(embedded: Iterable[Embedded], where: object, emit: Emit) -> list[Embedded]:
    found = list(embedded)
    for one in found:
        if one.vector is None:
            emit(Warned(f"Left out: {one.prediction.error}"))
    readable = [one for one in found if one.vector is not None]
    if not readable:
        raise DataError(f"None of the {len(found):,} images in {escape_name(where)} can be read.")
    return readable


def _vectors(found: Sequence[Embedded]) -> known_photos.Vectors:
    return np.stack([one.vector for one in found if one.vector is not None])
