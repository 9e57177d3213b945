"""`kvgg evaluate` and `kvgg predict`: what they print."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
from pathlib import Path

import pytest

from support.commands import THIN_PROGRAM, kvgg, python

pytestmark = pytest.mark.usefixtures("thin_network", "blank")


FIGURES = ("accuracy", "balanced_accuracy", "macro_f1", "matthews")


SHAPE = [
    *("run", "state", "data", "split", "count", "trained_on", "loss", *FIGURES, "top_k"),
    *("calibration_error", "calibration", "intervals"),
    *("classes", "confusion", "color", "reliability", "mistakes", "files"),
]


def test_evaluate_json_is_what_the_documents_promise(at: Path) -> None:
    """On the newest run by default; the figures of the best epoch, to the last digit."""
    result = kvgg("evaluate", "--json")
    assert result.exit_code == 0, result.output
    printed, best = json.loads(result.stdout), json.loads((at / "train.json").read_text())["best"]
    assert list(printed) == SHAPE
    assert (printed["run"], printed["split"], printed["count"]) == ("runs/first", "val", 3)
    assert (printed["loss"], printed["accuracy"]) == (best["val_loss"], best["val_accuracy"])
    assert list(printed["classes"]) == ["blue", "green", "red"]
    for name, row in zip(printed["classes"], printed["confusion"], strict=True):
        score = printed["classes"][name]
        parts = ["precision", "recall", "f1", "count", "roc_area", "average_precision"]
        assert list(score) == parts
        assert score["count"] == sum(row)
    assert list(printed["top_k"]) == ["2"]
    assert list(printed["intervals"]) == ["level", "resamples", "seed", *FIGURES]
    for name in FIGURES:
        low, high = printed["intervals"][name]
        assert low <= printed[name] <= high
    assert [list(one) for one in printed["reliability"]] == [
        ["low", "high", "count", "confidence", "accuracy"]
    ] * 15
    assert len(printed["mistakes"]) == 3 - round(3 * printed["accuracy"])
    for one in printed["mistakes"]:
        assert list(one) == ["path", "class", "predicted", "probability"]
    assert all(Path(file).is_file() for file in printed["files"])


def test_evaluate_shows_scores_and_confusion_and_draws_them(at: Path) -> None:
    """A headline with the figures, three tables, and the names of what it wrote."""
    figures = json.loads(kvgg("evaluate", "--split", "all", "--json").stdout)
    files = [Path(file) for file in figures["files"]]
    for file in files:
        file.unlink()
    result = kvgg("evaluate", "--split", "all", "--run", "first")
    right = sum(figures["confusion"][k][k] for k in range(3))
    scores = {name: [*score.values()][:4] for name, score in figures["classes"].items()}
    lines = result.stdout.splitlines()
    assert lines[0] == (
        f"runs/first on 18 images (all): accuracy {figures['accuracy']:.4f} ({right} right), "
        f"loss {figures['loss']:.4f}"
    )
    assert lines[-1] == f"Wrote to runs/first: {', '.join(file.name for file in files)}"
    cells = [re.findall(r"[^│┃ ]+", line) for line in lines if line.startswith("│")]
    assert [row[-4:] for row in cells[:4]] == [
        [f"{figures[name]:.4f}", f"{low:.4f}", "to", f"{high:.4f}"]
        for name in FIGURES
        for low, high in [figures["intervals"][name]]
    ]
    areas = [score["roc_area"] for score in figures["classes"].values()]
    assert [row[-1] for row in cells[4:7]] == [
        f"{figure:.4f}"
        for figure in (figures["top_k"]["2"], figures["calibration_error"], sum(areas) / 3)
    ]
    assert cells[7:] == [
        *(
            [name, *("-" if x is None else f"{x:.4f}" for x in shares), str(count)]
            for name, (*shares, count) in scores.items()
        ),
        *(
            [name, *map(str, row)]
            for name, row in zip(figures["classes"], figures["confusion"], strict=True)
        ),
    ]
    for file in files:
        openings = {".png": b"\x89PNG\r\n\x1a\n", ".csv": b'"path","class"', ".json": b"{"}
        assert file.read_bytes().startswith(openings[file.suffix])


def test_predict_json_is_what_the_documents_promise(at: Path) -> None:
    """A file each, in the order given; --top says how many classes."""
    files = ["photos/red/red_01.png", "photos/blue/blue_00.png"]
    result = kvgg("predict", *files, "--json", "--top", "2")
    assert result.exit_code == 0, result.output
    printed = json.loads(result.stdout)
    assert [one["path"] for one in printed] == files
    for one in printed:
        assert list(one) == [
            *("path", "class", "probability", "calibrated", "unsure", "unsure_below", "top")
        ]
        assert (one["calibrated"], one["unsure"], one["unsure_below"]) == (False, False, None)
        assert [list(entry) for entry in one["top"]] == [["class", "probability"]] * 2
        assert one["top"][0] == {"class": one["class"], "probability": one["probability"]}
        assert one["top"][0]["probability"] >= one["top"][1]["probability"]


def test_a_bad_file_is_reported_and_the_rest_is_answered(at: Path, tmp_path: Path) -> None:
    """On stderr and by the exit code; stdout stays pure."""
    good, bad = "photos/red/red_01.png", tmp_path / "bad.jpg"
    bad.write_text("no picture")
    error = f"{bad}: is text, not an image. Replace or remove it."
    result = kvgg("predict", good, bad, "--json")
    assert result.exit_code == 1
    assert result.stderr.splitlines()[-1] == f"Error: {error}"
    first, second = json.loads(result.stdout)
    assert (first["path"], second) == (good, {"path": str(bad), "error": error})
    plain = kvgg("predict", bad, good)
    assert plain.stdout == f"{good}: {first['class']} {first['probability']:.1%}\n"
    assert (plain.exit_code, plain.stderr.splitlines()[-1]) == (1, f"Error: {error}")


def test_predict_csv_has_a_row_a_class(at: Path, tmp_path: Path) -> None:
    """path, rank, class, probability; a bad file has one row, of its path and its error."""
    picture = tmp_path / 'a, "b".png'
    shutil.copy("photos/red/red_01.png", picture)
    bad = tmp_path / "bad.jpg"
    bad.touch()
    (expected,) = json.loads(kvgg("predict", picture, "--json", "--top", "3").stdout)
    result = kvgg("predict", bad, picture, "--csv", "--top", "3")
    assert result.exit_code == 1
    assert list(csv.reader(io.StringIO(result.stdout))) == [
        ["path", "rank", "class", "probability", "error"],
        [str(bad), "", "", "", f"{bad}: is empty (0 bytes). Replace or remove it."],
        *(
            [str(picture), str(rank), one["class"], f"{one['probability']:.6f}", ""]
            for rank, one in enumerate(expected["top"], 1)
        ),
    ]


def test_predict_shows_a_line_a_picture(at: Path) -> None:
    """A folder is answered picture by picture, unbroken whatever the length of its path."""
    deep = at / ("long-name-" * 9)
    shutil.copytree(at / "photos" / "red", deep, dirs_exist_ok=True)
    expected = json.loads(kvgg("predict", deep, "--json", "--top", "2").stdout)
    result = kvgg("predict", deep, "--top", "2")
    assert result.stdout.splitlines() == [
        f"{one['path']}: " + "  ".join(f"{e['class']} {e['probability']:.1%}" for e in one["top"])
        for one in expected
    ]
    assert len(expected) == 6


@pytest.mark.parametrize("command", ["predict", "explain"])
def test_what_looks_at_pictures_imports_neither_tensorflow_nor_keras(
    at: Path, command: str
) -> None:
    """They would add seconds to each call."""
    look = "print(sorted({'tensorflow', 'keras'} & {*sys.modules}))"
    code = f"import atexit, sys; atexit.register(lambda: {look})\n"
    done = python("-c", code + THIN_PROGRAM, command, "photos/red/red_00.png", cwd=at)
    assert done.returncode == 0, done.stderr
    answer, imported = done.stdout.splitlines()
    assert answer.startswith("photos/red/red_00.png: ")
    assert imported == "[]"
