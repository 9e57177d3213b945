"""Which labels are probably wrong.

A photo is named where a model that was not trained on it gives another class `ODDS` times the
probability of the label, once its probabilities are calibrated on all photos with their labels. So
a model that is often wrong itself names few. benchmarks/audit.py compares this with confident
learning (Northcutt, Jiang & Chuang 2021, JAIR 70).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kvgg_jax.evaluation.calibration import fit_temperature
from kvgg_jax.inference.prediction import Labels, Probabilities
from kvgg_jax.inference.temperature import apply_temperature

ODDS = 10.0
LEAST = 1e-12  # probability, so that odds are finite


def calibrate_on_labels(labels: Labels, probabilities: Probabilities) -> Probabilities:
    """[count, classes], at the temperature that suits the `labels` [count], wrong ones included.

    Never surer than they are: among photos with hardly a wrong label, the few that are hard to
    classify would be named.
    """
    return apply_temperature(probabilities, max(1.0, fit_temperature(labels, probabilities)))


def label_odds(labels: Labels, probabilities: Probabilities) -> NDArray[np.float64]:
    """How many times as probable as its label the best other class of each photo is: [count]."""
    rows = np.arange(len(labels))
    own, others = probabilities[rows, labels], np.array(probabilities, np.float64)
    others[rows, labels] = 0.0
    return others.max(axis=1) / np.maximum(own, LEAST)


def find_label_issues(labels: Labels, probabilities: Probabilities) -> NDArray[np.int64]:
    """Photos whose label is probably wrong, the surest first: their places.

    `labels` [count] are indices of classes; `probabilities` [count, classes] are calibrated, and of
    models that were not trained on the photo. The most probable class is the one to suggest.
    """
    odds = label_odds(labels, probabilities)
    order = np.argsort(-odds, kind="stable")
    return order[odds[order] >= ODDS]
