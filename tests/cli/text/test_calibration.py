"""What the text of a calibration says of its gain."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kvgg_jax.cli.text.calibration import calibration_text
from kvgg_jax.evaluation.calibration import Calibrated
from kvgg_jax.inference.temperature import Quality
from support.commands import calibration_at

BEFORE = Quality(loss=0.5, calibration_error=0.1)


@pytest.mark.parametrize(
    ("temperature", "changes", "verdict"),
    [
        (1.5, {}, "The network was overconfident."),
        (0.5, {}, "The network was underconfident."),
        (
            1.5,
            {"gain_error": 0.1},
            "The cross-entropy falls by 0.1000 with a standard error of 0.1000: this may be "
            "chance. Calibrate on more images to find out.",
        ),
        (
            1.5,
            {"after": Quality(loss=0.4, calibration_error=0.2)},
            "The network was overconfident. Still, the calibration error rose: it is a rough "
            "estimate from 10 images in 15 bins, and a temperature lowers the cross-entropy only.",
        ),
    ],
)
def test_the_gain_is_compared_with_its_error(
    capsys: pytest.CaptureFixture[str], temperature: float, changes: dict[str, Any], verdict: str
) -> None:
    """A gain below two standard errors may be chance."""
    after = {"before": BEFORE, "after": Quality(loss=0.4, calibration_error=0.05)}
    of = calibration_at(temperature, "1-x").model_copy(
        update={**after, "gain_error": 0.01, "fold_temperatures": (1.0, 2.0), **changes}
    )
    calibration_text(Calibrated(Path("runs/x"), of, is_stored=False))
    assert capsys.readouterr().out.splitlines()[-1] == verdict
