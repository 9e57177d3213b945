"""What several networks are trusted with: each its own calibration, none a distance."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from kvgg_jax import load_classifier, predict
from kvgg_jax.core.errors import RunError
from kvgg_jax.core.events import Event, Note, ignore
from kvgg_jax.inference.certainty import familiarity
from kvgg_jax.inference.classifier import members_of
from kvgg_jax.inference.prediction import Prediction
from support.commands import calibrate_at
from support.runs import Trained

pytestmark = pytest.mark.usefixtures("thin_network")


def shares(found: list[Prediction]) -> np.ndarray:
    """[count, classes], the classes by name."""
    return np.array([[share for _, share in sorted(one.top)] for one in found])


def test_each_fold_is_calibrated_by_its_own_temperature(
    folds: Path, trained: Trained, tmp_path: Path
) -> None:
    """Where one is not, that is said, and the mean is not called calibrated."""
    path, photos = Path(shutil.copytree(folds, tmp_path / "cv")), trained.photos / "red"
    first, second = (load_classifier(path / f"fold-{number}") for number in (1, 2))
    calibrate_at(2.0, first.run, first.state)
    heard: list[Event] = []
    (one, *_) = predict(photos, path, emit=heard.append)
    assert (one.calibrated, one.unsure_below) == (False, None)
    text = f"{path}: no calibration of fold-2, so the mean counts as not calibrated. "
    assert Note(f"{text}kvgg calibrate --run {path}/fold-2 makes one") in heard
    calibrate_at(0.5, second.run, second.state)
    found = predict(photos, path, emit=heard.append)
    each = [shares(predict(photos, path / f"fold-{number}")) for number in (1, 2)]
    np.testing.assert_allclose(shares(found), np.mean(each, axis=0), rtol=0, atol=1e-6)
    assert all(one.calibrated for one in found)
    text = "Probabilities are calibrated (temperatures 0.500 to 2.000)"
    assert Note(f"{text}; below 70% it is unsure") in heard
    raw = predict(photos, path, raw=True)
    np.testing.assert_allclose(shares(raw), shares(predict(photos, folds)), rtol=0, atol=1e-6)


def test_folds_know_no_photos_together(folds: Path) -> None:
    """Each has distances of its own; a threshold for them is refused."""
    members = members_of(folds, out=folds.parent, emit=ignore)
    assert familiarity(members, None, ignore) == (None, None)
    with pytest.raises(RunError, match="whose folds differ in that"):
        familiarity(members, 0.05, ignore)
