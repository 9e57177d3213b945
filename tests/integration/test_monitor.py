"""What decides which epoch is best, from `train` to `runs`, as a user has it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, f1_score

from kvgg_jax.core.history import Epoch
from kvgg_jax.evaluation.evaluate import evaluate
from kvgg_jax.runs.folder import Run
from support.commands import TINY, kvgg, message
from support.runs import draw_photos

pytestmark = pytest.mark.usefixtures("thin", "blank")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with photos of classes of uneven size."""
    monkeypatch.chdir(tmp_path)
    draw_photos(tmp_path / "photos")
    for file in sorted((tmp_path / "photos" / "red").iterdir())[5:]:
        file.unlink()
    return tmp_path


def best_of(name: str) -> Epoch:
    best = Run(Path("runs") / name).history().best
    assert best is not None
    return best


@pytest.mark.parametrize("monitor", ["balanced_accuracy", "macro_f1"])
def test_the_monitored_figure_decides_and_is_that_of_evaluate(here: Path, monitor: str) -> None:
    """Each epoch has it; the best weights have the highest; it is that of scikit-learn."""
    words = ("--data", "photos", "--split", "stratified", "--val-split", "0.4", "--lr", "0.003")
    trained = kvgg("train", *TINY, *words, "--monitor", monitor, "--epochs", "2", "--name", "x")
    assert trained.exit_code == 0, trained.output
    name = monitor.replace("_", " ").replace("f1", "F1")
    assert f"val {name} " in trained.stderr
    best = best_of("x")
    assert f"validation {name} {best.extra[f'val_{monitor}']:.4f}, accuracy " in trained.stdout
    resumed = kvgg("train", "--resume", "x", "--epochs", "4", "--json")
    found, best = json.loads(resumed.stdout), best_of("x")
    assert (found["monitor"], found["best"]["epoch"]) == (monitor, best.epoch)
    value = found["best"][f"val_{monitor}"]
    assert value == max(row.extra[f"val_{monitor}"] for row in Run(Path("runs/x")).history())
    result = evaluate("x", out="runs")
    assert getattr(result, monitor) == pytest.approx(value, rel=1e-12)
    true, predicted = np.array(result.samples.labels), result.probabilities.argmax(axis=1)
    theirs = {
        "balanced_accuracy": balanced_accuracy_score(true, predicted),
        "macro_f1": f1_score(true, predicted, average="macro"),
    }
    assert value == pytest.approx(theirs[monitor], rel=1e-12)
    listed = kvgg("runs")
    assert f"({name} {value:.4f})" in " ".join(listed.stdout.split())


def test_what_is_monitored_stays_at_a_resume(here: Path) -> None:
    """Nobody chooses anew which epoch was best; a run of an older version goes by accuracy."""
    words = ("--data", "photos", "--monitor", "loss", "--epochs", "2", "--name", "x")
    trained = kvgg("train", *TINY, *words)
    assert trained.exit_code == 0, trained.output
    run = Run(Path("runs/x"))
    losses = {row.val_loss: row for row in run.history()}
    assert best_of("x") == losses[min(losses)]
    assert f"validation loss {min(losses):.4f}, accuracy " in trained.stdout
    assert "val_macro_f1" not in run.read("history.csv")
    assert kvgg("report", "--run", "x", "--output", "r.html").exit_code == 0
    assert f"validation loss {min(losses):.4f}</p>" in Path("r.html").read_text()
    config = run.path / "config.toml"
    config.write_text(config.read_text().replace('monitor = "loss"', 'monitor = "accuracy"'))
    assert message(kvgg("train", "--resume", "x", "--epochs", "3")).splitlines()[1] == (
        '  train.monitor: "loss" then, "accuracy" now'
    )
    info = run.info()
    del info["settings"]["train.monitor"]
    run.write("run.json", json.dumps(info))
    assert run.history().monitor == "accuracy"
    assert kvgg("train", "--resume", "x", "--epochs", "3").exit_code == 0
    run.update_info(settings={"train.monitor": "luck"})
    assert message(kvgg("evaluate", "--run", "x")) == (
        "Error: runs/x/run.json is damaged: train.monitor is 'luck', not one of accuracy, loss, "
        "balanced_accuracy, macro_f1.\n"
    )
