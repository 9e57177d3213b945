"""What color alone reaches: two classifiers that know only six numbers per photo.

The numbers are mean and standard deviation of red, green and blue. A network that is no better has
learned no shape.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kvgg_jax.core.events import Emit, ignore
from kvgg_jax.core.text import escape_name
from kvgg_jax.data.audit.inspect import Seen, inspect_photos
from kvgg_jax.data.folder import Samples

LIMIT = 10_000  # training photos to compare with: so many are read in a minute, and are enough
_CHUNK = 500  # photos whose distances to all of them are in memory at once


@dataclass(frozen=True, slots=True)
class ColorBaseline:
    """Accuracies in [0, 1] that color alone reaches, or why there are none."""

    class_mean: float | None = None
    """Of the class whose mean color is nearest."""
    nearest: float | None = None
    """Of the class of the training photo nearest in color, other than the photo itself."""
    reference: int = 0
    """Training photos that both were made from."""
    left_out: str | None = None
    """Why they could not be made."""

    def to_json(self) -> dict[str, Any]:
        """`{"class_mean", "nearest", "reference"}`, or `{"left_out"}` with the reason."""
        if self.left_out:
            return {"left_out": self.left_out}
        return {name: getattr(self, name) for name in ("class_mean", "nearest", "reference")}


def color_baseline(train: Samples, evaluated: Samples, *, emit: Emit = ignore) -> ColorBaseline:
    """The accuracy of color alone, learned from `train`, on `evaluated`; labels are of
    one list of classes.

    Some `LIMIT` training photos are read at most, evenly taken of each class. Photos that cannot be
    read are left out; where a class has none left in `train`, so is the baseline.
    """
    step = -(-len(train) // LIMIT) or 1
    labels = np.array(train.labels)
    places = [np.flatnonzero(labels == label)[::step] for label in np.unique(labels)]
    few = train.take(np.sort(np.concatenate(places)).tolist())
    learnt = inspect_photos(few.files(), emit=emit, stage="reading colors")
    lost = set(evaluated.labels) - {
        label for label, seen in zip(few.labels, learnt, strict=True) if seen.look
    }
    if lost:
        name = escape_name(evaluated.classes[min(lost)])
        reason = (
            f"no training photo of class {name} can be read in {escape_name(train.root)} any more"
        )
        return ColorBaseline(left_out=reason)
    asked = inspect_photos(evaluated.files(), emit=emit, stage="reading colors")
    return compare_colors((learnt, few.labels), (asked, evaluated.labels))


def compare_colors(
    train: tuple[Sequence[Seen], Sequence[int]], evaluated: tuple[Sequence[Seen], Sequence[int]]
) -> ColorBaseline:
    """The baseline of photos that were looked at already: (photos, labels) of each part."""
    paths, known, labels = _readable(*train)
    asked, colors, true = _readable(*evaluated)
    if not len(known) or not len(colors):
        return ColorBaseline(left_out="there are no photos to compare")
    kinds = np.unique(labels)
    means = np.stack([known[labels == kind].mean(axis=0) for kind in kinds])
    by_mean = kinds[_distances(colors, means).argmin(axis=1)]
    at = {path: place for place, path in enumerate(paths)}
    itself = np.array([at.get(path, -1) for path in asked])
    by_photo = np.empty(len(true), np.int64)
    for start in range(0, len(true), _CHUNK):
        part = slice(start, start + _CHUNK)
        apart = _distances(colors[part], known)
        rows = np.flatnonzero(itself[part] >= 0)
        apart[rows, itself[part][rows]] = np.inf
        by_photo[part] = labels[apart.argmin(axis=1)]
    return ColorBaseline(
        float((by_mean == true).mean()), float((by_photo == true).mean()), len(known)
    )


def _readable(
    photos: Sequence[Seen], labels: Sequence[int]
) -> tuple[list[str], NDArray[np.float64], NDArray[np.int64]]:
    """Paths, colors [count, 6] and labels of those that have a look."""
    kept = [(one, label) for one, label in zip(photos, labels, strict=True) if one.look]
    colors = [one.look.color for one, _ in kept if one.look]
    return (
        [str(one.path.absolute()) for one, _ in kept],
        np.array(colors, np.float64).reshape(-1, 6),
        np.array([label for _, label in kept], np.int64),
    )


def _distances(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """Squared, [len(a), len(b)]."""
    return ((a**2).sum(axis=1)[:, None] - 2 * a @ b.T) + (b**2).sum(axis=1)
