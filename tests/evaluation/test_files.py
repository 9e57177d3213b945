"""What an evaluation leaves in the run folder: read back as it was, or not at all."""

from __future__ import annotations

import csv
import io
import json
import shutil
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kvgg_jax.core.errors import RunError
from kvgg_jax.evaluation.files import keep, predictions_csv, read_evaluation, read_predictions
from kvgg_jax.evaluation.record import Evaluation, EvaluationRecord
from kvgg_jax.runs.folder import FORMAT, Run
from support.evaluations import NAMES, STATE, all_right, six_photos
from support.runs import small_config


@pytest.fixture
def result(tmp_path: Path) -> Evaluation:
    """Three mistakes of six: the fourth photo the surest, then the second, then the last."""
    return six_photos(tmp_path)


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """No charts, where they do not matter: each takes a moment."""
    monkeypatch.setattr("kvgg_jax.evaluation.files._charts", lambda _: {})


def test_all_is_written_beside_the_run_and_named(result: Evaluation) -> None:
    """Four charts, a table and the figures, with the split in their names."""
    kept = keep(result)
    names = [f"{what}-val.png" for what in ("confusion", "reliability", "roc-pr", "mistakes")]
    names += ["predictions-val.csv", "evaluation-val.json"]
    assert kept.files == tuple(str(result.run / name) for name in names)
    assert sorted(result.run.iterdir()) == sorted(map(Path, kept.files))
    figures = json.loads((result.run / "evaluation-val.json").read_text())
    assert figures == json.loads(json.dumps(kept.to_json()))


def test_a_chart_without_a_reason_is_gone(result: Evaluation) -> None:
    """No mistakes and no curves any more: what an earlier evaluation left would mislead."""
    keep(result)
    better = all_right(result)
    bare = {name: one.model_copy(update={"roc_area": None}) for name, one in better.classes.items()}
    keep(better.model_copy(update={"classes": bare}))
    assert sorted(path.name for path in result.run.glob("*.png")) == [
        "confusion-val.png",
        "reliability-val.png",
    ]


def test_predictions_are_a_row_a_photo(result: Evaluation) -> None:
    """The class, the predicted one, and the probabilities of both."""
    rows = list(csv.reader(io.StringIO(predictions_csv(result))))
    assert rows[0] == ["path", "class", "predicted", "probability", "class_probability"]
    assert [row[:3] for row in rows[1:]] == [
        [path, NAMES[label], NAMES[predicted]]
        for path, label, predicted in zip(
            result.samples.paths, result.samples.labels, (0, 1, 1, 2, 2, 0), strict=True
        )
    ]
    assert [round(float(row[3]), 5) for row in rows[1:]] == [0.8, 0.5, 0.8, 0.9, 0.8, 0.5]
    assert [round(float(row[4]), 5) for row in rows[1:]] == [0.8, 0.2, 0.8, 0.1, 0.8, 0.4]


def test_any_file_name_survives_the_table(result: Evaluation) -> None:
    """Quotes, commas, line ends and bytes that are no text."""
    odd = ('a, "b".png', "c\rd.png", "e\nf.png", "\udce9.png", "", " ")
    samples = replace(result.samples, paths=odd)
    text = predictions_csv(result.model_copy(update={"samples": samples}))
    read = csv.reader(io.StringIO(text, newline=""))
    assert tuple(row[0] for row in read)[1:] == odd


def test_no_spreadsheet_runs_a_name_of_the_table_as_a_formula(result: Evaluation) -> None:
    """Such a name has an apostrophe in front."""
    names = ("=1+1.png", "'=a.png", "-b.png", "@c.png", "d.png", "+e.png")
    odd = result.model_copy(update={"samples": replace(result.samples, paths=names)})
    rows = csv.reader(io.StringIO(predictions_csv(odd)))
    assert [row[0] for row in rows][1:] == [
        *("'=1+1.png", "''=a.png", "'-b.png", "'@c.png", "d.png", "'+e.png")
    ]


@pytest.mark.usefixtures("undrawn")
def test_what_is_kept_is_what_was_evaluated(result: Evaluation) -> None:
    """To the last bit."""
    kept = keep(result)
    found = read_evaluation(Run(result.run), split="val", state=STATE, calibration=None)
    assert isinstance(found, EvaluationRecord)
    assert found.to_json() == kept.to_json()


@pytest.mark.usefixtures("undrawn")
def test_an_evaluation_of_before_the_spelling_changed_is_read(result: Evaluation) -> None:
    """It has the key `colour`."""
    kept = keep(result)
    file = result.run / "evaluation-val.json"
    file.write_text(file.read_text().replace('"color"', '"colour"'))
    found = read_evaluation(Run(result.run), split="val")
    assert found is not None
    assert found.color == kept.color


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize("name", ["r\udce9d", "<script>", "{{ x }}"])
def test_any_class_name_is_read_back(result: Evaluation, name: str) -> None:
    """Bytes that are no text, too."""
    classes = dict(zip((name, "b", "c"), result.classes.values(), strict=True))
    keep(result.model_copy(update={"classes": classes}))
    found = read_evaluation(Run(result.run), split="val")
    assert found is not None
    assert list(found.classes) == [name, "b", "c"]


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize(
    "other", [{"split": "all"}, {"state": "2-0123456789abcdef"}, {"data": "/elsewhere"}]
)
def test_what_is_of_something_else_is_not_taken(result: Evaluation, other: dict[str, str]) -> None:
    """Another part, other weights, other photos."""
    keep(result)
    assert read_evaluation(Run(result.run), split="val") is not None
    assert read_evaluation(Run(result.run), **{"split": "val", **other}) is None


@pytest.mark.usefixtures("undrawn")
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
    keep(result)
    file = result.run / "evaluation-val.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **change}))
    assert read_evaluation(Run(result.run), split="val") is None
    file.write_text("[" * 100_000)
    assert read_evaluation(Run(result.run), split="val") is None


def with_config(result: Evaluation) -> Run:
    config = small_config(result.samples.root)
    (result.run / "config.toml").write_text(config.to_toml())
    (result.run / "run.json").write_text(f'{{"format": {FORMAT}}}')
    return Run(result.run)


@pytest.mark.usefixtures("undrawn")
def test_predictions_are_read_back_for_the_state_that_made_them(result: Evaluation) -> None:
    """Photo -> (class, predicted); none for a newer state, or where nothing was kept."""
    run = with_config(result)
    assert read_predictions(run, state=result.state) is None
    keep(result)
    assert read_predictions(run, state="2-0123456789abcdef") is None
    assert read_predictions(run, state=result.state) == {
        path: (NAMES[label], NAMES[predicted])
        for path, label, predicted in zip(
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
    keep(result.model_copy(update={"data": str(other)}))
    assert read_predictions(run, state=result.state) is None


@pytest.mark.usefixtures("undrawn")
def test_a_damaged_record_is_none(result: Evaluation) -> None:
    """It can be made again."""
    run = with_config(result)
    keep(result)
    for name in ("evaluation-val.json", "predictions-val.csv"):
        sound = (run.path / name).read_bytes()
        for text in (b"", b"[]", b"{", b"path,class\n1,2\n", b"\0", b"\xff"):
            (run.path / name).write_bytes(text)
            assert read_predictions(run, state=result.state) is None
        (run.path / name).write_bytes(sound)
    assert read_predictions(run, state=result.state) is not None


def test_what_cannot_be_removed_is_named(result: Evaluation) -> None:
    """A folder where an old chart would be."""
    (result.run / "mistakes-val.png").mkdir()
    with pytest.raises(RunError) as caught:
        keep(all_right(result))
    assert str(caught.value).startswith(f"Cannot remove {result.run}/mistakes-val.png: ")


@pytest.mark.usefixtures("undrawn")
def test_two_evaluations_at_once_do_not_mix_their_files(
    result: Evaluation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second one waits between the first one's table and its record."""
    run, better = with_config(result), all_right(result)
    other = threading.Thread(target=keep, args=(better,))
    real = Evaluation.model_copy

    def model_copy(self: Evaluation, **kwargs: Any) -> Evaluation:
        if self is result:
            other.start()
            other.join(0.3)
            assert other.is_alive()
        return real(self, **kwargs)

    monkeypatch.setattr(Evaluation, "model_copy", model_copy)
    keep(result)
    other.join()
    found = read_evaluation(run, split="val")
    assert found is not None
    assert found.accuracy == 1.0
    predicted = read_predictions(run, state=result.state)
    assert predicted is not None
    assert {name == called for name, called in predicted.values()} == {True}


@pytest.mark.usefixtures("undrawn")
def test_a_table_is_not_taken_for_that_of_another_record(
    result: Evaluation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that was written between the two reads."""
    run, read, better = with_config(result), Run.read, all_right(result)
    keep(result)

    def slow(self: Run, name: str) -> str:
        if name == "predictions-val.csv":
            keep(better)
        return read(self, name)

    monkeypatch.setattr(Run, "read", slow)
    assert read_predictions(run, state=result.state) is None
    monkeypatch.setattr(Run, "read", read)
    assert read_predictions(run, state=result.state) is not None
