"""Figures that `evaluate` kept: read back as they were, or not at all."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from kvgg_jax.evaluation.figures import as_judged, kept

from kvgg_jax.evaluation.evaluate import Evaluation
from kvgg_jax.evaluation.record import keep
from kvgg_jax.runs.folder import Run
from support.evaluations import six_photos


@pytest.fixture
def result(tmp_path: Path) -> Evaluation:
    """Three mistakes of six."""
    result = six_photos(tmp_path)
    keep(result)
    return result


def test_what_is_kept_is_what_was_judged(result: Evaluation) -> None:
    """To the last bit; it knows how many are right, and where figures have intervals."""
    found = kept(Run(result.run), split="val", state=result.state, calibration=None)
    assert found == as_judged(result)
    assert (found.right, found.wrong, found.count) == (3, 3, 6)
    assert found.interval("accuracy") == result.scores.intervals["accuracy"]
    assert found.interval("seed") is found.interval("loss") is None
    assert found.reliability == result.scores.reliability
    assert found.color == result.color


@pytest.mark.parametrize(
    "other", [{"split": "all"}, {"state": "2-0123456789abcdef"}, {"data": "/elsewhere"}]
)
def test_what_is_of_something_else_is_not_taken(result: Evaluation, other: dict[str, str]) -> None:
    """Another part, other weights, other photos."""
    assert kept(Run(result.run), **{"split": "val", **other}) is None


@pytest.mark.parametrize(
    "change",
    [
        {"count": "six"},
        {"confusion": [[1]]},
        {"mistakes": [{"path": "../x", "class": "red", "predicted": "blue", "probability": 1.0}]},
        {"mistakes": [{"path": "/x", "class": "red", "predicted": "blue", "probability": 1.0}]},
        {"reliability": []},
    ],
)
def test_a_damaged_evaluation_is_none(result: Evaluation, change: dict[str, Any]) -> None:
    """Nor one of which a photo would lie outside of the folder of photos."""
    file = result.run / "evaluation-val.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **change}))
    assert kept(Run(result.run), split="val") is None
    file.write_text("[" * 100_000)
    assert kept(Run(result.run), split="val") is None


def test_a_class_without_photos_has_no_recall(result: Evaluation) -> None:
    """None comes back as None."""
    first = next(iter(result.classes))
    score = replace(result.classes[first], recall=None, count=0)
    keep(replace(result, classes={**result.classes, first: score}))
    assert kept(Run(result.run), split="val").classes[first].recall is None


def test_an_evaluation_of_an_older_version_is_read(result: Evaluation) -> None:
    """It has `colour` where `color` is written now."""
    file = result.run / "evaluation-val.json"
    table = json.loads(file.read_text())
    table["colour"] = table.pop("color")
    file.write_text(json.dumps(table))
    assert kept(Run(result.run), split="val") == as_judged(result)
