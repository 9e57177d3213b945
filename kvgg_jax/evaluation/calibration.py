"""`calibrate`: a temperature for a run, fitted on photos that its training did not see.

Guo, Pleiss, Sun & Weinberger 2017, "On Calibration of Modern Neural Networks", section 4.2.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kvgg_jax.core.errors import DataError, RunError, UsageError
from kvgg_jax.core.events import Emit, Warned, ignore
from kvgg_jax.core.text import escape_name
from kvgg_jax.evaluation.evaluate import evaluate
from kvgg_jax.evaluation.metrics import calibration_error, losses, reliability
from kvgg_jax.evaluation.record import Evaluation
from kvgg_jax.evaluation.unknown import keep_where_missing
from kvgg_jax.inference.prediction import Labels, Probabilities
from kvgg_jax.inference.temperature import (
    FILE,
    HIGHEST,
    LOWEST,
    Calibration,
    Quality,
    apply_temperature,
    logits,
)
from kvgg_jax.runs import catalog
from kvgg_jax.runs.folder import Run

FEWEST_WRONG = 2  # so that one is left to fit by when the other is set aside
FOLDS, SEED = 5, 0


@dataclass(frozen=True, slots=True)
class Calibrated:
    """A run, and the calibration that was fitted to it."""

    run: Path
    calibration: Calibration
    is_stored: bool = True
    """False where the run folder cannot be written, so that nothing uses it."""

    def to_json(self) -> dict[str, Any]:
        """`{"run", "is_stored", ...}`, and what `calibration.json` holds."""
        about = {"run": str(self.run), "is_stored": self.is_stored}
        return {**about, **self.calibration.model_dump()}


def calibrate(
    run: str | Path | None = None,
    *,
    data: str | Path | None = None,
    split: str | None = None,
    skip_bad: bool | None = None,
    batch_size: int | None = None,
    out: str | Path = catalog.OUT,
    emit: Emit = ignore,
) -> Calibrated:
    """Fit a temperature to a run's best weights, and store it as `calibration.json` in the run.

    What tells unknown photos is fitted too, where the run lacks it and its own photos are used.

    On the run's validation part; with `data`, on all of that folder, or with `split="val"` on the
    files there that are in that part. `predict` and `evaluate` use it from then on.
    A run folder that cannot be written is a Warned event. Raises RunError and DataError as
    `evaluate` does, DataError where too few predictions are wrong.
    """
    if split == "all" and data is None:
        raise UsageError(
            "--split all has the photos of training, on which a network is surer than elsewhere. "
            "Calibrate on --split val, or on other photos with --data."
        )
    catalog.find(run, out=Path(out))  # not of a cross-validation, whose folds have their own
    evaluated = evaluate(
        run,
        data=data,
        split=split,
        skip_bad=skip_bad,
        raw=True,
        batch_size=batch_size,
        out=out,
        emit=emit,
    )
    if evaluated.split == "all":
        _check_unseen(evaluated)
    if data is None:
        keep_where_missing(Run(evaluated.run), evaluated.state, emit)
    calibration = _fit(evaluated)
    if np.isclose(calibration.temperature, HIGHEST):
        emit(
            Warned(
                f"The temperature stopped at the highest, {HIGHEST:g}: {evaluated.run} "
                "guesses, or is surest where it is wrong. More training photos help, and "
                "`optim.label_smoothing = 0.1`."
            )
        )
    try:
        text = json.dumps(calibration.model_dump(), indent=2)
        Run(evaluated.run).write(FILE, text + "\n")
    except RunError as error:
        emit(Warned(f"{error} The calibration is shown and not stored, so nothing will use it."))
        return Calibrated(evaluated.run, calibration, is_stored=False)
    return Calibrated(evaluated.run, calibration)


def remove_calibration(run: str | Path | None = None, *, out: str | Path = catalog.OUT) -> Path:
    """Remove a run's `calibration.json` and give its path. Raises RunError where there is none."""
    file = catalog.find(run, out=Path(out)).path / FILE
    try:
        file.unlink()
    except FileNotFoundError:
        raise RunError(f"{file} does not exist: the run is not calibrated.") from None
    except OSError as error:
        raise RunError(f"Cannot remove {file}: {error.strerror}.") from None
    return file


def _check_unseen(evaluated: Evaluation) -> None:
    """Raises DataError when a photo is one of those that the run was trained on, or may be."""
    run, seen = evaluated.run, evaluated.trained_on
    if seen is None:
        raise DataError(
            f"Which photos {run} was trained on is not known, so none can be shown to be others. "
            "Put its split.csv and digests.csv back."
        )
    if seen:
        raise DataError(
            f"{escape_name(evaluated.samples.root)} has {seen} photos that {run} was trained on, "
            "and on those it is more confident than on new ones. Calibrate "
            "without --data, or add --split val."
        )


def _fit(evaluated: Evaluation) -> Calibration:
    true, probabilities = np.array(evaluated.samples.labels), evaluated.probabilities
    if evaluated.wrong < FEWEST_WRONG:
        raise DataError(
            f"{evaluated.run} predicts {evaluated.right} of {evaluated.count} photos correctly: "
            f"with fewer than {FEWEST_WRONG} mistakes nothing shows how far its certainty can be "
            "trusted. Calibrate on more photos that it was not trained on: --data DIR."
        )
    calibrated, fold_temperatures = cross_fit(true, probabilities)
    gains = losses(true, probabilities) - losses(true, calibrated)
    return Calibration(
        temperature=fit_temperature(true, probabilities),
        state=evaluated.state,
        split=evaluated.split,
        data=evaluated.data,
        count=evaluated.count,
        wrong=evaluated.wrong,
        before=_quality(true, probabilities),
        after=_quality(true, calibrated),
        gain_error=float(gains.std(ddof=1) / np.sqrt(len(gains))),
        fold_temperatures=fold_temperatures,
    )


def _quality(true: Labels, probabilities: Probabilities) -> Quality:
    loss = float(losses(true, probabilities).mean())
    return Quality(loss=loss, calibration_error=calibration_error(reliability(true, probabilities)))


def fit_temperature(true: Labels, probabilities: Probabilities) -> float:
    """The temperature of the least cross-entropy, within `LOWEST` and `HIGHEST`.

    Cross-entropy is convex in 1 / T, so its slope has one root at most. Where every prediction is
    right it falls without end as T goes to 0: then the result is `LOWEST`, and means nothing.
    """
    from scipy.optimize import brentq

    own, of_true = logits(probabilities), -losses(true, probabilities)

    def slope(inverse: float) -> float:
        expected = (apply_temperature(probabilities, 1 / inverse) * own).sum(axis=1)
        return float(np.mean(expected - of_true))

    low, high = 1 / HIGHEST, 1 / LOWEST
    if slope(low) >= 0:
        return HIGHEST
    if slope(high) < 0:
        return LOWEST
    return float(1 / brentq(slope, low, high))


def cross_fit(
    true: Labels, probabilities: Probabilities
) -> tuple[NDArray[np.float64], tuple[float, ...]]:
    """Each photo's probabilities at the temperature that the other folds fitted; and these.

    What calibration does to photos it was not fitted on, without setting any aside. There are up
    to `FOLDS` folds, and each gets its share of the mistakes (there must be two or more), since a
    fit without any means nothing.
    """
    right = probabilities.argmax(axis=1) == true
    folds = min(FOLDS, int((~right).sum()))
    order = np.random.default_rng(SEED).permutation(len(true))
    order = order[np.argsort(right[order], kind="stable")]
    fold = np.empty(len(true), int)
    fold[order] = np.arange(len(true)) % folds
    calibrated = np.empty(probabilities.shape)
    fitted = []
    for k in range(folds):
        inside = fold == k
        fitted.append(fit_temperature(true[~inside], probabilities[~inside]))
        calibrated[inside] = apply_temperature(probabilities[inside], fitted[-1])
    return calibrated, tuple(fitted)
