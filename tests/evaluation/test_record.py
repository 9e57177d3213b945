"""What an evaluation leaves in the run folder."""

from __future__ import annotations

import csv
import io
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from kvgg_jax.core.errors import RunError
from kvgg_jax.evaluation.evaluate import Evaluation
from kvgg_jax.evaluation.record import evaluation_json, keep, predictions_csv, recall
from kvgg_jax.runs.folder import FORMAT, Run
from support.evaluations import NAMES, made, six_photos
from support.runs import small_config


@pytest.fixture
def result(tmp_path: Path) -> Evaluation:
    """Three mistakes of six: the fourth photo the surest, then the second, then the last."""
    return six_photos(tmp_path)


def test_the_most_confident_mistake_comes_first(result: Evaluation) -> None:
    """Then by falling probability; equal ones in the order of the photos."""
    assert result.mistakes == [3, 1, 5]


def test_all_is_written_beside_the_run_and_named(result: Evaluation) -> None:
    """Four pictures, a table and the figures, with the split in their names."""
    files = keep(result)
    names = [f"{what}-val.png" for what in ("confusion", "reliability", "roc-pr", "mistakes")]
    names += ["predictions-val.csv", "evaluation-val.json"]
    assert files == [result.run / name for name in names]
    assert sorted(result.run.iterdir()) == sorted(files)
    figures = json.loads((result.run / "evaluation-val.json").read_text())
    assert figures == evaluation_json(result, files)
    assert [one["path"] for one in figures["mistakes"]] == [
        result.samples.paths[row] for row in (3, 1, 5)
    ]


def test_a_picture_without_a_reason_is_gone(result: Evaluation) -> None:
    """No mistakes and no curves any more: what an earlier evaluation left would mislead."""
    keep(result)
    right = np.eye(3, dtype=np.float32)[list(result.samples.labels)]
    better = made(result.run, result.samples, right)
    keep(replace(better, scores=replace(better.scores, curves=())))
    assert sorted(path.name for path in result.run.glob("*.png")) == [
        "confusion-val.png",
        "reliability-val.png",
    ]


def test_predictions_are_a_row_a_photo(result: Evaluation) -> None:
    """Class, the one called, and the probabilities of both."""
    rows = list(csv.reader(io.StringIO(predictions_csv(result))))
    assert rows[0] == ["path", "class", "predicted", "probability", "class_probability"]
    assert [row[:3] for row in rows[1:]] == [
        [path, NAMES[label], NAMES[called]]
        for path, label, called in zip(
            result.samples.paths, result.samples.labels, (0, 1, 1, 2, 2, 0), strict=True
        )
    ]
    assert [round(float(row[3]), 5) for row in rows[1:]] == [0.8, 0.5, 0.8, 0.9, 0.8, 0.5]
    assert [round(float(row[4]), 5) for row in rows[1:]] == [0.8, 0.2, 0.8, 0.1, 0.8, 0.4]


def test_any_file_name_survives_the_table(result: Evaluation) -> None:
    """Quotes, commas, line ends and bytes that are no text."""
    odd = ('a, "b".png', "c\rd.png", "e\nf.png", "\udce9.png", "", " ")
    samples = replace(result.samples, paths=odd)
    text = predictions_csv(replace(result, samples=samples))
    read = csv.reader(io.StringIO(text, newline=""))
    assert tuple(row[0] for row in read)[1:] == odd


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """No pictures, where they are no matter: each takes a moment."""
    monkeypatch.setattr("kvgg_jax.evaluation.record._images", lambda _: {})


def with_config(result: Evaluation) -> Run:
    config = small_config(result.samples.root)
    (result.run / "config.toml").write_text(config.to_toml())
    (result.run / "run.json").write_text(f'{{"format": {FORMAT}}}')
    return Run(result.run)


@pytest.mark.usefixtures("undrawn")
def test_predictions_are_read_back_for_the_state_that_made_them(result: Evaluation) -> None:
    """Photo -> (class, predicted); none for a newer state, or where nothing was kept."""
    run = with_config(result)
    assert recall(run, state=result.state) is None
    keep(result)
    assert recall(run, state="2-0123456789abcdef") is None
    assert recall(run, state=result.state) == {
        path: (NAMES[label], NAMES[called])
        for path, label, called in zip(
            result.samples.paths, result.samples.labels, (0, 1, 1, 2, 2, 0), strict=True
        )
    }


@pytest.mark.usefixtures("undrawn")
def test_predictions_for_other_photos_are_not_those_of_the_run(
    result: Evaluation, tmp_path: Path
) -> None:
    """`evaluate --data DIR --split val` leaves a file of the same name."""
    run = with_config(result)
    other = shutil.copytree(result.samples.root, tmp_path / "other")
    keep(replace(result, samples=replace(result.samples, root=other)))
    assert recall(run, state=result.state) is None


@pytest.mark.usefixtures("undrawn")
def test_a_damaged_record_is_none(result: Evaluation) -> None:
    """It can be made again."""
    run = with_config(result)
    keep(result)
    for name in ("evaluation-val.json", "predictions-val.csv"):
        sound = (run.path / name).read_bytes()
        for text in (b"", b"[]", b"{", b"path,class\n1,2\n", b"\0", b"\xff"):
            (run.path / name).write_bytes(text)
            assert recall(run, state=result.state) is None
        (run.path / name).write_bytes(sound)
    assert recall(run, state=result.state) is not None


def test_what_cannot_be_removed_is_named(result: Evaluation) -> None:
    """A folder where an old picture would be."""
    (result.run / "mistakes-val.png").mkdir()
    right = np.eye(3, dtype=np.float32)[list(result.samples.labels)]
    with pytest.raises(RunError) as caught:
        keep(made(result.run, result.samples, right))
    assert str(caught.value).startswith(f"Cannot remove {result.run}/mistakes-val.png: ")
