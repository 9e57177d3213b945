"""`kvgg evaluate`: what it prints."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from support.commands import kvgg

pytestmark = pytest.mark.usefixtures("thin_network", "blank")


FIGURES = ("accuracy", "balanced_accuracy", "macro_f1", "matthews")


SHAPE = [
    *("run", "state", "data", "split", "count", "trained_on", "loss", *FIGURES, "top_k"),
    *("calibration_error", "calibration", "members", "tta", "intervals"),
    *("classes", "confusion", "color", "reliability", "mistakes", "unknown"),
    "files",
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
