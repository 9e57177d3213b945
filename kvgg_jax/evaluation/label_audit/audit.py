"""Photos whose label is probably wrong, and what else is worth a look."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kvgg_jax.core.config import RunConfig
from kvgg_jax.core.errors import UsageError
from kvgg_jax.core.events import Emit, ignore
from kvgg_jax.core.tables.model import ModelConfig
from kvgg_jax.data.audit.duplicates import same_photo
from kvgg_jax.data.audit.inspect import Seen, inspect_photos
from kvgg_jax.data.audit.quality import class_medians, stand_out
from kvgg_jax.data.open_photos import open_photos
from kvgg_jax.data.samples import Samples
from kvgg_jax.data.split import rows_by_label
from kvgg_jax.evaluation.label_audit.findings import Audit, LabelIssue, Labelled, StandOut
from kvgg_jax.evaluation.label_audit.held_out import (
    HeldOut,
    complete,
    from_crossval,
    from_features,
)
from kvgg_jax.evaluation.label_audit.label_issues import calibrate_on_labels, find_label_issues
from kvgg_jax.runs import catalog

Groups = NDArray[np.int64]


def audit(
    data: str | Path | None = None,
    *,
    run: str | Path | None = None,
    config: RunConfig | None = None,
    out: str | Path = catalog.OUT,
    emit: Emit = ignore,
) -> Audit:
    """Find photos whose label is probably wrong, by models that were not trained on them.

    `data` is a folder or list of photos: their features come from a frozen backbone, by default
    VGG16 with ImageNet weights; `config` says which. Or `run` is a cross-validation, by its folder
    or its name in `out`: each photo is judged by the fold that held it out.

    Nothing is written. Raises UsageError for both or none of them, DataError for photos that cannot
    be used, RunError for a run that does not hold out each photo once.
    """
    if (data is None) == (run is None):
        raise UsageError("Give either a folder of photos, or a cross-validation: --run.")
    if run is not None:
        held = from_crossval(run, out=Path(out), emit=emit)
        seen = inspect_photos(held.samples, emit=emit)
        groups = same_photo([one.look for one in seen])
        return _findings(held, seen, groups)
    given = config or RunConfig(model=ModelConfig(weights="imagenet", freeze="backbone"))
    given = complete(given.with_data(dir=str(data)), out=Path(out), emit=emit)
    samples = open_photos(given.data)
    seen = inspect_photos(samples, emit=emit)
    groups = same_photo([one.look for one in seen])
    held = from_features(samples, given, groups, emit=emit)
    rows = samples.rows(held.samples)
    return _findings(held, [seen[row] for row in rows], groups[rows])


def _findings(held: HeldOut, seen: Sequence[Seen], groups: Groups) -> Audit:
    samples, far = held.samples, held.distances
    brightness = [0.0 if one.look is None else float(one.look.color[:3].mean()) for one in seen]
    return Audit(
        folder=samples.root,
        samples=samples,
        how=held.how,
        issues=_issues(held),
        contradictory=_contradictory(samples, groups),
        outliers=None if far is None else _stand_out(samples, far, "high"),
        blurred=_stand_out(samples, [one.sharpness for one in seen], "low"),
        dark=_stand_out(samples, brightness, "low"),
    )


def _issues(held: HeldOut) -> tuple[LabelIssue, ...]:
    samples, labels = held.samples, np.array(held.samples.labels)
    calibrated = calibrate_on_labels(labels, held.probabilities)
    found = []
    for row in find_label_issues(labels, calibrated).tolist():
        best, label = int(calibrated[row].argmax()), int(labels[row])
        own, other = float(calibrated[row, label]), float(calibrated[row, best])
        found.append(
            LabelIssue(
                path=samples.paths[row],
                label=samples.classes[label],
                suggested=samples.classes[best],
                score=round(other / (own + other), 6),
                probability=round(other, 6),
                label_probability=round(own, 6),
            )
        )
    return tuple(found)


def _contradictory(samples: Samples, groups: Groups) -> tuple[tuple[Labelled, ...], ...]:
    found = []
    for rows in rows_by_label(groups):
        photos = [_labelled(samples, int(row)) for row in rows]
        if len({photo.label for photo in photos}) > 1:
            found.append(tuple(photos))
    return tuple(found)


def _labelled(samples: Samples, row: int) -> Labelled:
    return Labelled(samples.paths[row], samples.classes[samples.labels[row]])


def _stand_out(
    samples: Samples, values: ArrayLike, end: Literal["low", "high"]
) -> tuple[StandOut, ...]:
    """The most unusual first."""
    found, labels = np.asarray(values, np.float64), np.array(samples.labels)
    medians = class_medians(found, labels)
    rows = np.flatnonzero(stand_out(found, labels, end=end))
    ratio = found[rows] / np.maximum(medians[rows], 1e-9)
    order = np.argsort(-ratio if end == "high" else ratio, kind="stable")
    return tuple(
        StandOut(
            path=samples.paths[row],
            label=samples.classes[labels[row]],
            value=round(float(found[row]), 4),
            typical=round(float(medians[row]), 4),
        )
        for row in rows[order].tolist()
    )
