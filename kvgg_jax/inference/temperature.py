"""Temperature scaling: one number that makes a classifier's probabilities mean what they say.

Guo, Pleiss, Sun & Weinberger 2017, "On Calibration of Modern Neural Networks", section 4.2:
divide the logits by T > 0. The order of the classes stays, so no prediction changes. The logarithms
of float32 probabilities are the logits but for a constant per image, exact to 1e-7 and down to
`FLOOR`, so probabilities are all that is needed.
"""

from __future__ import annotations

from collections.abc import Sequence
from shlex import quote

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from kvgg_jax.core.errors import RunError
from kvgg_jax.core.events import Emit, Note, Warned
from kvgg_jax.inference.prediction import Probabilities
from kvgg_jax.runs.folder import Run

FLOOR = float(np.finfo(np.float32).tiny)  # 1e-38: below it, the device gives 0
# Of temperatures. Above 8 the logits that `FLOOR` cuts off would show: 5e-5 of a probability there.
LOWEST, HIGHEST = 0.05, 8.0
UNSURE_BELOW = 0.7  # of the most probable class, where a calibrated run is given no threshold
FILE = "calibration.json"  # in the run folder


def apply_temperature(probabilities: Probabilities, temperature: float) -> NDArray[np.float64]:
    """The probabilities [count, classes] at another temperature; above 1 they are less extreme."""
    divided = logits(probabilities) / temperature
    shares = np.exp(divided - divided.max(axis=1, keepdims=True))
    return shares / shares.sum(axis=1, keepdims=True)


def logits(probabilities: Probabilities) -> NDArray[np.float64]:
    """Of each photo and class, but for a constant per photo: [count, classes]."""
    return np.log(np.maximum(probabilities, FLOOR).astype(np.float64))


class Quality(BaseModel):
    """Mean cross-entropy in nats, and expected calibration error in [0, 1]."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
    loss: float
    calibration_error: float


class Calibration(BaseModel):
    """A temperature, what it was fitted on, and what it is worth: the content of `FILE`."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
    temperature: float = Field(ge=LOWEST, le=HIGHEST, allow_inf_nan=False)
    state: str
    """Name of the saved step that it was fitted to (`step_folders.name`)."""
    split: str
    data: str
    """Folder of the photos it was fitted on."""
    count: int
    wrong: int
    """Photos, and how many of them were misclassified."""
    before: Quality
    after: Quality
    """Cross-fitted: each photo at the temperature that photos of other folds fitted."""
    gain_error: float
    """Standard error of `before.loss - after.loss`, over the photos."""
    fold_temperatures: tuple[float, ...]


def calibrated(probabilities: ArrayLike, calibration: Calibration | None) -> Probabilities:
    """A network's own [count, classes] at the temperature of its calibration, if it has one."""
    own = np.asarray(probabilities)
    return own if calibration is None else apply_temperature(own, calibration.temperature)


def stored(run: Run) -> Calibration | None:
    """The calibration of a run; None when it has none. Raises RunError for a damaged one."""
    file = run.path / FILE
    if not file.exists():
        return None
    try:
        return Calibration.model_validate_json(run.read(FILE))
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        reason = f"{where}: {first['msg']}" if where else first["msg"]
        raise RunError(f"{file} is damaged: {reason}. {_again(run)}") from None


def current_calibration(run: Run, state: str, emit: Emit) -> Calibration | None:
    """The run's calibration; for one that was fitted to another state, None and a Warned event."""
    found = stored(run)
    if found is None or found.state == state:
        return found
    text = f"{run.path / FILE} was fitted to other weights than the run's best ones now; not used."
    emit(Warned(f"{text} {_again(run)}"))
    return None


def threshold(
    temperatures: Sequence[float], unsure_below: float | None, emit: Emit
) -> float | None:
    """Below which probability a prediction is unsure: `unsure_below`, else `UNSURE_BELOW` if there
    are `temperatures`, and a Note event tells both."""
    if not temperatures:
        return unsure_below
    below = UNSURE_BELOW if unsure_below is None else unsure_below
    text = f"Probabilities are calibrated ({temperatures_text(temperatures)})"
    emit(Note(f"{text}; below {below:.0%} it is unsure"))
    return below


def temperatures_text(temperatures: Sequence[float]) -> str:
    """`"temperature 1.243"`, or of several networks `"temperatures 1.134 to 1.379"`."""
    if len(temperatures) == 1:
        return f"temperature {temperatures[0]:.3f}"
    return f"temperatures {min(temperatures):.3f} to {max(temperatures):.3f}"


def _again(run: Run) -> str:
    return f"Fit it again: kvgg calibrate --run {quote(str(run.path))}"
