"""Temperature scaling: against probabilities made too sure on purpose, and a general minimiser."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvgg_jax.core.errors import RunError
from kvgg_jax.core.events import Warned
from kvgg_jax.inference.temperature import (
    FILE,
    HIGHEST,
    Calibration,
    apply_temperature,
    current_calibration,
    stored,
)
from kvgg_jax.runs.folder import Run

SOUND = {
    "temperature": 1.5,
    "state": "16-0123456789abcdef",
    "split": "val",
    "data": "/photos",
    "count": 10,
    "wrong": 2,
    "before": {"loss": 0.5, "calibration_error": 0.25},
    "after": {"loss": 0.25, "calibration_error": 0.125},
    "gain_error": 0.0625,
    "fold_temperatures": [1.25, 1.75],
}


def test_to_soften_is_to_divide_the_logits() -> None:
    """softmax(z / T), from the softmax of z alone; temperature 1 changes nothing."""
    logits = np.array([[2.0, -1.0, 0.5], [30.0, 0.0, -30.0]])
    softmax = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    expected = np.exp(logits / 3) / np.exp(logits / 3).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(apply_temperature(softmax, 3), expected, rtol=1e-12)
    np.testing.assert_allclose(apply_temperature(softmax, 1), softmax, rtol=1e-12)


@given(
    st.lists(st.floats(0, 1, width=32), min_size=2, max_size=6).filter(any),
    st.floats(0.05, 20),
)
def test_softening_changes_no_answer(row: list[float], temperature: float) -> None:
    """The order of float32 probabilities stays, a 0 among them too; the sum is 1."""
    probabilities = np.array([row], np.float32)
    probabilities /= probabilities.sum()
    soft = apply_temperature(probabilities, temperature)
    assert soft.argmax() == probabilities.argmax()
    assert soft.sum() == pytest.approx(1)


def test_a_stored_calibration_is_read_back(tmp_path: Path) -> None:
    """And none where there is none."""
    assert stored(Run(tmp_path)) is None
    (tmp_path / FILE).write_text(json.dumps(SOUND))
    found = stored(Run(tmp_path))
    assert found == Calibration(**{**SOUND, "fold_temperatures": (1.25, 1.75)})


def test_a_calibration_of_other_weights_is_not_used(tmp_path: Path) -> None:
    """A warning says so, and how to fit it again."""
    (tmp_path / FILE).write_text(json.dumps(SOUND))
    events: list[Any] = []
    assert current_calibration(Run(tmp_path), "16-0123456789abcdef", events.append) == stored(
        Run(tmp_path)
    )
    assert events == []
    assert current_calibration(Run(tmp_path), "24-0123456789abcdef", events.append) is None
    assert events == [
        Warned(
            f"{tmp_path}/calibration.json was fitted to other weights than the run's best ones "
            f"now; not used. Fit it again: kvgg calibrate --run {tmp_path}"
        )
    ]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "Invalid JSON: EOF while parsing an object at line 1 column 1"),
        (
            json.dumps({**SOUND, "temperature": 5e-324}),  # its logits would be infinite
            "temperature: Input should be greater than or equal to 0.05",
        ),
        (
            json.dumps({**SOUND, "temperature": 8.5}),
            "temperature: Input should be less than or equal to 8",
        ),
        (
            json.dumps({**SOUND, "temperature": float("nan")}),
            "temperature: Input should be a finite number",
        ),
        (json.dumps({**SOUND, "extra": 0}), "extra: Extra inputs are not permitted"),
        ("[" * 5000, "Invalid JSON: recursion limit exceeded at line 1 column 202"),
    ],
)
def test_a_damaged_calibration_is_named(tmp_path: Path, text: str, reason: str) -> None:
    """With the reason, and how to mend it."""
    (tmp_path / FILE).write_text(text)
    with pytest.raises(RunError) as caught:
        stored(Run(tmp_path))
    assert str(caught.value) == (
        f"{tmp_path}/calibration.json is damaged: {reason}. "
        f"Fit it again: kvgg calibrate --run {tmp_path}"
    )


def test_what_float32_cuts_off_does_not_show_at_the_highest_temperature() -> None:
    """Below the smallest float32 a probability is 0, and its logit is gone."""
    for gap in (90.0, 300.0, 1e4):
        logits = np.array([[gap, 0, 0, 0]])
        shares = np.exp(logits - logits.max())
        given = (shares / shares.sum()).astype(np.float32)
        soft = np.exp((logits - logits.max()) / HIGHEST)
        assert np.abs(apply_temperature(given, HIGHEST) - soft / soft.sum()).max() < 1e-4
