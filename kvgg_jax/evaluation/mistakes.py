"""Photos that a run misclassified, and what in them spoke for the wrong class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kvgg_jax.core.events import Emit
from kvgg_jax.core.places import Place, file_place
from kvgg_jax.core.tables.data import Resize
from kvgg_jax.data.decode.image import Read, load_bytes
from kvgg_jax.data.source import Source
from kvgg_jax.evaluation.record import Mistake
from kvgg_jax.inference.classifier import load_classifier
from kvgg_jax.inference.explain import Explanation, explain
from kvgg_jax.inference.heatmap import enlarge, overlay
from kvgg_jax.runs.folder import Run

SIDE = 192  # pixels of an image, which a page shows at half that on a sharp screen


@dataclass(frozen=True, slots=True)
class Seen:
    """A mistake with its image, uint8 [side, side, 3], or why there is none."""

    mistake: Mistake
    photo: NDArray[np.uint8] | None = None
    overlay: NDArray[np.uint8] | None = None
    """The same under the heatmap of class `label`."""
    label: str = ""
    place: str = ""
    """Where that is strongest, in words; empty where there is none."""
    error: str = ""


def look_at(mistakes: Sequence[Mistake], source: Source, run: Run, emit: Emit) -> tuple[Seen, ...]:
    """Their photos in `source`, each under Grad-CAM for the predicted class.

    Raises RunError for the run; a photo that cannot be read has its error.
    """
    classifier, found = load_classifier(run.path, emit=emit), dict[Place, Explanation]()
    files = {one: file_place(source.name(one.path)) for one in mistakes}
    keys = {file: one.path for one, file in files.items()}

    def read(file: Place) -> bytes:
        return source.read(keys[file])

    for label in dict.fromkeys(one.predicted for one in mistakes):
        those = [file for one, file in files.items() if one.predicted == label]
        shown = explain(those, classifier, target=label, read=read, emit=emit)
        found |= {one.path: one for one in shown}
    return tuple(
        _seen(found.get(file), one, classifier.resize, read) for one, file in files.items()
    )


def _seen(one: Explanation | None, mistake: Mistake, resize: Resize, read: Read) -> Seen:
    if one is None or one.heat is None:
        reason = one.prediction.error if one else None
        return Seen(mistake, error=reason or "is no image any more")
    photo = load_bytes(read(one.path), SIDE, resize, name=str(one.path))
    drawn = overlay(photo, enlarge(one.heat, SIDE))
    return Seen(mistake, photo, drawn, one.label, _place(one.heat))


def _place(heat: NDArray[np.float32]) -> str:
    """Where a map [size, size] is strongest, in words, on a grid of three by three."""
    if not heat.any():
        return ""
    thirds = [np.array_split(band, 3, axis=1) for band in np.array_split(heat, 3, axis=0)]
    means = np.array([[part.mean() for part in row] for row in thirds])
    row, column = np.unravel_index(means.argmax(), means.shape)
    words = ("upper", "middle", "lower")[row], ("left", "", "right")[column]
    return "centre" if words == ("middle", "") else " ".join(filter(None, words))
