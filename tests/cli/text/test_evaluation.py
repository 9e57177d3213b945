"""What a person reads of an evaluation, where the figures alone would mislead."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from kvgg_jax.cli.text.evaluation import evaluation_text
from kvgg_jax.evaluation.record import ClassFigures, Confusion, Evaluation
from kvgg_jax.inference.temperature import Calibration, Quality
from support.evaluations import all_right, six_photos


@pytest.fixture
def result(tmp_path: Path) -> Evaluation:
    """Six photos, three of them called wrongly."""
    return six_photos(tmp_path)


def lines(result: Evaluation, capsys: pytest.CaptureFixture[str]) -> list[str]:
    evaluation_text(result)
    return capsys.readouterr().out.splitlines()


def test_all_right_is_no_proof(result: Evaluation, capsys: pytest.CaptureFixture[str]) -> None:
    """The bootstrap says 1 to 1; 0.607 is the accuracy that gets six of six in one of 20 times."""
    line = "All are right. With only 6 images, up to 39.3% may still be wrong."
    assert pytest.approx(0.05, abs=0.001) == 0.607**6
    assert line in lines(all_right(result), capsys)
    assert not any(line.startswith("All are right") for line in lines(result, capsys))


def test_beyond_ten_classes_there_is_no_area(
    result: Evaluation, capsys: pytest.CaptureFixture[str]
) -> None:
    """As where no class has a curve."""
    assert any("ROC area" in line for line in lines(result, capsys))
    bare = {name: one.model_copy(update={"roc_area": None}) for name, one in result.classes.items()}
    found = lines(result.model_copy(update={"classes": bare}), capsys)
    assert not any("ROC area" in line for line in found)


@pytest.mark.parametrize(
    ("change", "ending"),
    [
        ({}, ", the same as here: loss and calibration error are optimistic"),
        ({"split": "all"}, " (all)"),
        ({"data": "/other"}, " of /other"),
    ],
)
def test_it_says_where_a_calibration_comes_from(
    result: Evaluation, capsys: pytest.CaptureFixture[str], change: dict[str, str], ending: str
) -> None:
    """Fitted on the evaluated images, it looks better than it is."""
    quality = Quality(loss=1.0, calibration_error=0.5)
    of = Calibration(
        temperature=1.5,
        state=result.state,
        **{"split": "val", "data": str(result.samples.root), **change},
        count=6,
        wrong=3,
        before=quality,
        after=quality,
        gain_error=0.0,
        fold_temperatures=(1.0, 2.0),
    )
    second = lines(result.model_copy(update={"calibration": of}), capsys)[1]
    assert second == f"Probabilities: calibrated, temperature 1.500, fitted on 6 images{ending}"


def test_a_score_that_is_not_defined_is_a_dash(
    result: Evaluation, capsys: pytest.CaptureFixture[str]
) -> None:
    """0 would mean that the network is bad at the class; here no image was predicted green."""
    none = ClassFigures(precision=None, recall=0.0, f1=None, count=2)
    odd = result.model_copy(update={"classes": {**result.classes, "green": none}})
    (row,) = (line for line in lines(odd, capsys) if re.match("│ green +│ +- ", line))
    assert re.findall(r"[^│ ]+", row) == ["green", "-", "0.0000", "-", "2"]


@pytest.mark.parametrize(("width", "whole"), [(80, False), (400, True)])
def test_where_the_matrix_has_no_room_the_most_confused_pairs_are_shown(
    width: int,
    whole: bool,
    result: Evaluation,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Thirty classes in eighty columns would be a table of nothing."""
    monkeypatch.setenv("COLUMNS", str(width))
    names = [f"class-{number:02}" for number in range(30)]
    confusion = 100 * np.eye(30, dtype=np.int64)
    confusion[3, 5], confusion[5, 3] = 7, 12
    classes = dict.fromkeys(names, next(iter(result.classes.values())))
    many = result.model_copy(
        update={"classes": classes, "cells": Confusion.model_validate(confusion.tolist())}
    )
    found = "\n".join(lines(many, capsys))
    assert found.count(" 100 ") == (30 if whole else 0)
    assert ("Confusion matrix" in found) == whole
    pairs = re.findall(r"│ (class-\d\d) +│ (class-\d\d) +│ +(\d+) │", found)
    assert pairs == [] if whole else [("class-05", "class-03", "12"), ("class-03", "class-05", "7")]


def test_long_names_are_folded_and_no_count_is_cut(
    result: Evaluation, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nine classes in eighty columns."""
    names = [f"a-rather-long-name-{number}" for number in range(9)]
    confusion = 1000 * np.eye(9, dtype=np.int64)
    classes = dict.fromkeys(names, next(iter(result.classes.values())))
    many = result.model_copy(
        update={"classes": classes, "cells": Confusion.model_validate(confusion.tolist())}
    )
    found = "\n".join(lines(many, capsys))
    matrix = found[found.index("Confusion matrix") :]
    assert matrix.count("1000") == 9
    assert "…" not in matrix


def test_the_files_written_are_named(
    result: Evaluation, capsys: pytest.CaptureFixture[str]
) -> None:
    """Last; if nothing was written, there is no line."""
    assert not any(line.startswith("Wrote") for line in lines(result, capsys))
    kept = result.model_copy(update={"files": (str(result.run / "a.png"), "b.json")})
    assert "".join(lines(kept, capsys)).endswith(f"Wrote to {result.run}: a.png, b.json")
