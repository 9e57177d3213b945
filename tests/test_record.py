"""What an evaluation leaves in the run folder."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import COLOURS, draw_photos

from kvgg_jax.data.folder import Samples
from kvgg_jax.errors import RunError
from kvgg_jax.inference import Evaluation
from kvgg_jax.metrics import class_scores, confusion_matrix
from kvgg_jax.record import keep, predictions_csv
from kvgg_jax.scores import judge

NAMES = tuple(sorted(COLOURS))


@pytest.fixture
def result(tmp_path: Path) -> Evaluation:
    """Six photos of three classes: the last of each is called wrongly, the second one surely."""
    root = draw_photos(tmp_path / "photos", per_class=2)
    (tmp_path / "run").mkdir()
    labels = np.repeat(np.arange(3), 2)
    paths = tuple(path.relative_to(root).as_posix() for path in sorted(root.glob("*/*")))
    probabilities = np.array(
        [[8, 1, 1], [2, 5, 3], [1, 8, 1], [0, 1, 9], [1, 1, 8], [5, 1, 4]], np.float32
    ) / np.float32(10)
    return made(
        tmp_path / "run", Samples(root, paths, tuple(labels.tolist()), NAMES), probabilities
    )


def made(run: Path, samples: Samples, probabilities: np.ndarray) -> Evaluation:
    true = np.array(samples.labels)
    confusion = confusion_matrix(true, probabilities.argmax(axis=1), 3)
    return Evaluation(
        run=run,
        split="val",
        samples=samples,
        loss=1.0,
        accuracy=0.5,
        classes=dict(zip(NAMES, class_scores(confusion), strict=True)),
        confusion=confusion,
        probabilities=probabilities,
        scores=judge(true, probabilities),
        state="1-0123456789abcdef",
        calibration=None,
    )


def test_the_most_confident_mistake_comes_first(result: Evaluation) -> None:
    """Then by falling probability; equal ones in the order of the photos."""
    assert result.mistakes == [3, 1, 5]


def test_all_is_written_beside_the_run_and_named(result: Evaluation) -> None:
    """Four pictures and a table, with the split in their names."""
    files = keep(result)
    names = [f"{what}-val.png" for what in ("confusion", "reliability", "roc-pr", "mistakes")]
    assert files == [result.run / name for name in (*names, "predictions-val.csv")]
    assert sorted(result.run.iterdir()) == sorted(files)


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


def test_what_cannot_be_removed_is_named(result: Evaluation) -> None:
    """A folder where an old picture would be."""
    (result.run / "mistakes-val.png").mkdir()
    right = np.eye(3, dtype=np.float32)[list(result.samples.labels)]
    with pytest.raises(RunError) as caught:
        keep(made(result.run, result.samples, right))
    assert str(caught.value).startswith(f"Cannot remove {result.run}/mistakes-val.png: ")
