"""An evaluation as one record: what follows from its figures."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kvgg_jax.evaluation.confusion import Confusion
from kvgg_jax.evaluation.record import (
    DENSE,
    ClassFigures,
    Evaluation,
    EvaluationRecord,
    Mistake,
)
from support.evaluations import NAMES, six_photos


@pytest.fixture
def result(tmp_path: Path) -> Evaluation:
    """Three mistakes of six: the fourth photo the surest, then the second, then the last."""
    return six_photos(tmp_path)


def test_the_most_confident_mistake_comes_first(result: Evaluation) -> None:
    """Then by falling probability; equal ones in the order of the photos."""
    blue, green, red = NAMES
    paths, surest = result.samples.paths, result.mistakes[0].probability
    assert surest == pytest.approx(0.9)
    assert result.mistakes == (
        Mistake(path=paths[3], true=green, predicted=red, probability=surest),
        Mistake(path=paths[1], true=blue, predicted=green, probability=0.5),
        Mistake(path=paths[5], true=red, predicted=blue, probability=0.5),
    )


def test_the_figures_of_six_photos_by_hand(result: Evaluation) -> None:
    """One of two is right in each class, and each wrong call goes to another one."""
    assert (result.count, result.right, result.wrong) == (6, 3, 3)
    assert result.confusion == ((1, 1, 0), (0, 1, 1), (1, 0, 1))
    assert (result.accuracy, result.balanced_accuracy) == (0.5, 0.5)
    assert result.macro_f1 == pytest.approx(0.5)
    assert result.matthews == pytest.approx(0.25)
    low, high = result.intervals.accuracy
    assert (low, high) == pytest.approx((1 / 6, 5 / 6))
    assert [(one.precision, one.recall, one.count) for one in result.classes.values()] == [
        (0.5, 0.5, 2)
    ] * 3


def test_the_pairs_mixed_up_most_often_come_first(result: Evaluation) -> None:
    """What is right is not among them, nor what never happened."""
    blue, green, red = NAMES
    cells = Confusion.model_validate([[9, 1, 0], [0, 9, 3], [1, 0, 9]])
    mixed = result.model_copy(update={"cells": cells})
    assert mixed.confused == [(green, red, 3), (blue, green, 1), (red, blue, 1)]
    none = result.model_copy(
        update={"cells": Confusion.model_validate([[9, 0, 0], [0, 9, 0], [0, 0, 9]])}
    )
    assert none.confused == []


def test_json_has_the_shape_of_the_documents(result: Evaluation) -> None:
    """The keys of docs/json.md in their order, and neither photos nor probabilities."""
    found = result.to_json()
    assert list(found) == [
        *("run", "state", "data", "split", "count", "trained_on", "loss", "accuracy"),
        *("balanced_accuracy", "macro_f1", "matthews", "top_k", "calibration_error"),
        *("calibration", "members", "tta", "intervals", "classes", "confusion", "color"),
        *("reliability", "mistakes", "unknown", "files"),
    ]
    assert found["run"] == str(result.run)
    assert list(found["intervals"])[:3] == ["level", "resamples", "seed"]
    assert list(found["mistakes"][0]) == ["path", "class", "predicted", "probability"]
    assert list(found["classes"]["red"]) == list(ClassFigures.model_fields)
    assert found["color"] == {"class_mean": 0.5, "nearest": 2 / 3, "reference": 12}
    assert found["top_k"] == {"2": pytest.approx(5 / 6)}


@pytest.mark.parametrize(("classes", "form"), [(DENSE, tuple), (DENSE + 1, dict)])
def test_many_classes_are_written_as_the_cells_that_are_not_zero(
    result: Evaluation, classes: int, form: type
) -> None:
    """A number for each of millions of cells would be a file of hundreds of megabytes."""
    one = next(iter(result.classes.values()))
    cells = Confusion(size=classes, true=(0, 7), predicted=(7, 7), count=(1, 5))
    names = {f"class {number}": one for number in range(classes)}
    many = result.model_copy(update={"classes": names, "cells": cells})
    written = many.to_json()
    assert isinstance(written["confusion"], form)
    assert EvaluationRecord.model_validate(json.loads(json.dumps(written))).cells == cells
    assert (many.right, many.confused) == (5, [("class 0", "class 7", 1)])
