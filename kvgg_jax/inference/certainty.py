"""How far to trust what networks say: their calibrations, and the photos that they know."""

from __future__ import annotations

from collections.abc import Sequence
from shlex import quote
from typing import TYPE_CHECKING

from kvgg_jax.core.events import Emit, Note
from kvgg_jax.core.text import escape_name
from kvgg_jax.inference import known_photos
from kvgg_jax.inference.prediction import Typicality
from kvgg_jax.inference.temperature import Calibration, current_calibration, threshold

if TYPE_CHECKING:
    from kvgg_jax.inference.classifier import Classifier


def certainty(
    classifier: Classifier, *, raw: bool, unsure_below: float | None, emit: Emit
) -> tuple[Calibration | None, float | None]:
    """Its calibration, if any, and the probability below which a prediction is unsure."""
    (calibration,) = calibrations_of((classifier,), raw=raw, emit=emit)
    return calibration, threshold(temperatures_of([calibration]), unsure_below, emit)


def calibrations_of(
    members: Sequence[Classifier], *, raw: bool, emit: Emit
) -> list[Calibration | None]:
    """Of each, None where it has none or with `raw`; a Note event where only some have one."""
    found = [None if raw else current_calibration(one.run, one.state, emit) for one in members]
    bare = [one.run.path for one, its in zip(members, found, strict=True) if its is None]
    if 0 < len(bare) < len(members):
        names = ", ".join(path.name for path in bare)
        text = (
            f"{escape_name(bare[0].parent)}: no calibration of {names}, so the mean counts as not"
        )
        emit(Note(f"{text} calibrated. kvgg calibrate --run {quote(str(bare[0]))} makes one"))
    return found


def temperatures_of(calibrations: Sequence[Calibration | None]) -> tuple[float, ...]:
    """Of networks that are all calibrated; none where one is not."""
    known = tuple(one.temperature for one in calibrations if one is not None)
    return known if len(known) == len(calibrations) else ()


def familiarity(
    members: Sequence[Classifier], unknown_below: float | None, emit: Emit
) -> tuple[known_photos.KnownPhotos | None, Typicality | None]:
    """The photos that a network knows, if it has kept them, and how distances from them are read;
    nothing of several networks, each of which has distances of its own."""
    if len(members) > 1:
        several = f"{members[0].run.path.parent} is a cross-validation, whose folds differ in that."
        return None, known_photos.read_by(None, unknown_below, otherwise=several)
    run, state = members[0].run, members[0].state
    known = known_photos.current(run, state, emit)
    distances = None if known is None else known.distances
    return known, known_photos.read_by(distances, unknown_below, otherwise=known_photos.lacks(run))
