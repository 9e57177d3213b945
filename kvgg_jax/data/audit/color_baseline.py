"""What color alone reaches: two classifiers that know only six numbers per photo.

The numbers are mean and standard deviation of red, green and blue. A network that is no better has
learned no shape.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kvgg_jax.core.events import Emit, ignore
from kvgg_jax.core.places import canonical
from kvgg_jax.core.text import escape_name
from kvgg_jax.data.audit.inspect import Seen, inspect_photos
from kvgg_jax.data.samples import Samples
from kvgg_jax.data.split import rows_by_label

LIMIT = 10_000  # training photos to compare with: so many are read in a minute, and are enough


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
        figures = asdict(self)
        reason = figures.pop("left_out")
        return {"left_out": reason} if reason else figures


def color_baseline(train: Samples, evaluated: Samples, *, emit: Emit = ignore) -> ColorBaseline:
    """The accuracy of color alone, learned from `train`, on `evaluated`; labels are of
    one list of classes.

    Some `LIMIT` training photos are read at most, evenly taken of each class. Photos that cannot be
    read are left out; where a class has none left in `train`, so is the baseline.
    """
    step = -(-len(train) // LIMIT) or 1
    rows = [rows[::step] for rows in rows_by_label(np.array(train.labels))]
    few = train.take(np.sort(np.concatenate(rows)).tolist())
    learned = inspect_photos(few, emit=emit, stage="reading colors")
    readable = {label for label, seen in zip(few.labels, learned, strict=True) if seen.look}
    if lost := set(evaluated.labels) - readable:
        name = escape_name(evaluated.classes[min(lost)])
        reason = f"no training photo of class {name} can be read in {escape_name(train.root)}"
        return ColorBaseline(left_out=f"{reason} any more")
    asked = inspect_photos(evaluated, emit=emit, stage="reading colors")
    return compare_colors((learned, few.labels), (asked, evaluated.labels))


def compare_colors(
    train: tuple[Sequence[Seen], Sequence[int]], evaluated: tuple[Sequence[Seen], Sequence[int]]
) -> ColorBaseline:
    """The baseline of photos that were inspected already: (photos, labels) of each part."""
    from scipy.spatial import KDTree

    paths, known, labels = _readable(*train)
    asked, colors, true = _readable(*evaluated)
    if not paths or not asked:
        return ColorBaseline(left_out="there are no photos to compare")
    means = np.stack([known[rows].mean(axis=0) for rows in rows_by_label(labels)])
    by_mean = np.unique(labels)[KDTree(means).query(colors)[1]]
    places = {path: place for place, path in enumerate(paths)}
    itself = np.array([places.get(path, -1) for path in asked])
    _, near = KDTree(known).query(colors, k=range(1, min(2, len(known)) + 1))
    by_photo = labels[np.where(near[:, 0] == itself, near[:, -1], near[:, 0])]
    return ColorBaseline(
        float((by_mean == true).mean()), float((by_photo == true).mean()), len(known)
    )


def _readable(
    photos: Sequence[Seen], labels: Sequence[int]
) -> tuple[list[str], NDArray[np.float64], NDArray[np.int64]]:
    """Paths, colors [count, 6] and labels of those that have a look."""
    kept = [(seen, label) for seen, label in zip(photos, labels, strict=True) if seen.look]
    colors = [seen.look.color for seen, _ in kept if seen.look]
    return (
        [canonical(seen.path) for seen, _ in kept],
        np.array(colors, np.float64).reshape(-1, 6),
        np.array([label for _, label in kept], np.int64),
    )
