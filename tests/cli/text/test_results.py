"""The results of training, prediction and export as text and CSV."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from kvgg_jax.cli.text.results import (
    crossval_text,
    export_json,
    export_text,
    predictions_text,
)
from kvgg_jax.inference.prediction import Prediction
from kvgg_jax.training.search.crossval import Crossval, Fold

FOUND = (
    Prediction(Path("a\n.png"), (("red", 0.625), ("b,c", 0.375)), unsure_below=0.7),
    Prediction(Path("b.png"), (("red", 0.75), ("b,c", 0.25)), unsure_below=0.7),
    Prediction(Path("c.png"), error="c.png: is empty."),
)


def test_a_line_per_photo_says_where_the_network_is_unsure(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Names are escaped; a bad file has no line, since its error is on stderr."""
    predictions_text(FOUND, top=2)
    assert capsys.readouterr().out.splitlines() == [
        r"a\n.png: unsure (below 70.0%): red 62.5%  b,c 37.5%",
        "b.png: red 75.0%  b,c 25.0%",
    ]


def test_folds_are_rows_below_which_are_mean_and_deviation(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """0.75 and 0.25: mean 0.5, and 0.3536 over n - 1."""
    folds = tuple(
        Fold(number, f"fold-{number}", 16, 8, number, accuracy, 0.5, 61.0)
        for number, accuracy in ((1, 0.75), (2, 0.25))
    )
    crossval_text(Crossval(Path("runs/x"), folds))
    lines = capsys.readouterr().out.splitlines()
    rows = [line.strip("│ ").split() for line in lines if line.startswith("│")]
    assert [[cell for cell in row if cell != "│"] for row in rows] == [
        ["1", "16", "8", "1", "0.7500", "0.5000", "1:01"],
        ["2", "16", "8", "2", "0.2500", "0.5000", "1:01"],
    ]
    assert lines[-2:] == [
        "Validation accuracy 0.5000, standard deviation 0.3536",
        "Folds, crossval.json and crossval.csv: runs/x",
    ]


def exported(**changes: Any) -> Any:
    known = {"run": Path("runs/x"), "path": Path("x.onnx"), "format": "onnx", "size": 1_500_000}
    known |= {"temperature": None, "difference": 2e-7, "seconds": 1.0004, "int8": None}
    known |= {"unknown_below": None}
    return SimpleNamespace(**known | changes)


def test_an_export_is_described_with_what_int8_costs(capsys: pytest.CaptureFixture[str]) -> None:
    """Or with how exact it is."""
    export_text(exported())
    cost = SimpleNamespace(accuracy=0.875, count=8, float_accuracy=1.0)
    export_text(exported(temperature=1.25, difference=0.03, int8=cost))
    assert capsys.readouterr().out.splitlines() == [
        "Wrote x.onnx: onnx, 1.5 MB",
        "Read back: probabilities differ from those of predict by at most 2.0e-07",
        "Wrote x.onnx: onnx, 1.5 MB, calibrated (temperature 1.250)",
        "int8: accuracy 0.8750 on 8 validation photos, 1.0000 in float32; "
        "a probability differs by at most 3.0e-02",
    ]
    assert export_json(exported())["seconds"] == 1.0
