"""`kvgg report --card`: what a hub reads of a run, and what it says to people."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml

from kvgg_jax.data.audit.color_baseline import ColorBaseline
from kvgg_jax.evaluation.evaluate import make_evaluation
from kvgg_jax.evaluation.files import read_evaluation
from kvgg_jax.runs import step_folders
from kvgg_jax.runs.folder import Run
from kvgg_jax.web.card import model_card
from support.commands import kvgg, message
from support.pages import HOSTILE_CLASS as HOSTILE
from support.runs import Trained

pytestmark = pytest.mark.usefixtures("thin_network")


@pytest.fixture
def at(trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to change, with the run `runs/x`, a class of a hostile name, and an evaluation."""
    run = Run(shutil.copytree(trained.run, tmp_path / "runs" / "x"))
    names = ["blue", "green", HOSTILE]
    run.write("classes.json", json.dumps(names))
    quoted = HOSTILE.replace('"', '""')
    run.write("split.csv", re.sub('"?red"?,', f'"{quoted}",', run.read("split.csv")))
    samples = run.split().val
    chances = np.random.default_rng(0).dirichlet(np.ones(3), len(samples)).astype(np.float32)
    result = make_evaluation(
        samples,
        chances,
        tuple(names),
        run=run.path,
        split="val",
        loss=1.0,
        state=step_folders.newest(run.checkpoints / "best"),
        calibration=None,
        color=ColorBaseline(class_mean=0.5, nearest=2 / 3, reference=12),
        trained_on=0,
    )
    run.write("evaluation-val.json", json.dumps(result.to_json()))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def parts(file: Path) -> tuple[str, str]:
    """The metadata and the text of a card."""
    before, metadata, text = file.read_text().split("---\n", 2)
    assert before == ""
    return metadata, text


def test_the_metadata_are_those_of_the_hub_with_the_figures_of_the_evaluation(at: Path) -> None:
    """The license is not known, so none is claimed."""
    result = kvgg("report", "--card", "--json")
    file = at / "runs/x/README.md"
    assert json.loads(result.stdout) == {
        "run": "runs/x",
        "path": "runs/x/README.md",
        "bytes": file.stat().st_size,
        "split": "val",
        "contents": ["result", "limits", "training", "use"],
        "left_out": {},
    }
    assert result.stderr == "Using runs/x, the newest finished run\n"
    kept = read_evaluation(Run(Path("runs/x")), split="val")
    metrics = [
        {"type": "accuracy", "value": kept.accuracy},
        {"type": "f1", "name": "macro F1", "value": kept.macro_f1},
    ]
    assert yaml.safe_load(parts(file)[0]) == {
        "library_name": "kvgg_jax",
        "pipeline_tag": "image-classification",
        "tags": ["image-classification", "keras", "jax", "vgg11"],
        "metrics": ["accuracy", "f1"],
        "model-index": [
            {
                "name": "x",
                "results": [
                    {
                        "task": {"type": "image-classification"},
                        "dataset": {"type": "imagefolder", "name": "photos", "split": "val"},
                        "metrics": metrics,
                    }
                ],
            }
        ],
    }


def test_the_text_says_what_was_measured_and_on_what(at: Path) -> None:
    """And that the best epoch was chosen there; no path of this machine is in it."""
    metadata, text = parts(model_card("x").path)
    kept = read_evaluation(Run(Path("runs/x")), split="val")
    assert (
        f"{kept.right} of 7 validation photos were named right: {100 * kept.accuracy:.1f} %."
        in text
    )
    assert "The best epoch was chosen on these same photos" in text
    assert "## What was not measured" in text
    assert "- from random weights\n" in text
    run = Run(Path("runs/x"))
    assert str(run.config().data.dir) not in metadata + text
    assert str(at) not in metadata + text


def test_names_are_text_in_markdown(at: Path) -> None:
    """No tag of a class name becomes one of the page, and each row of a table has its cells."""
    _, text = parts(model_card("x").path)
    assert HOSTILE not in text
    assert r"red\<img src=x onerror=alert(1)\>\&" in text
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert {line.replace(r"\|", "").count("|") for line in rows} == {4, 6}


def test_without_the_photos_a_card_says_that_nothing_was_measured(at: Path) -> None:
    """It has no figures, in its metadata either."""
    Path("runs/x/evaluation-val.json").unlink()
    file = Path("runs/x/config.toml")
    file.write_text(file.read_text().replace(str(Run(Path("runs/x")).config().data.dir), "/no"))
    made = model_card("x")
    reason = "The photos are not in /no. Say where they are: --data DIR --split val"
    assert (made.contents, made.left_out) == (("limits", "training", "use"), {"result": reason})
    metadata, text = parts(made.path)
    assert yaml.safe_load(metadata).keys() == {"library_name", "pipeline_tag", "tags"}
    assert "This was not measured: its photos are not at hand.\n" in text


def test_what_a_card_has_not_cannot_be_asked_of_it(at: Path) -> None:
    """Nothing is written."""
    result = kvgg("report", "--card", "--mistakes", "3")
    assert (result.exit_code, "--card cannot be combined with --mistakes." in result.stderr) == (
        2,
        True,
    )
    assert message(kvgg("report", "--card", "--output", "no/README.md")) == (
        "Error: Cannot write no/README.md: No such file or directory. Choose another --output.\n"
    )
    assert not Path("runs/x/README.md").exists()


def test_a_card_that_is_there_is_left_as_it_is(at: Path) -> None:
    """Somebody may have added the license to it."""
    file = Path("runs/x/README.md")
    file.write_text("mine")
    assert message(kvgg("report", "--card", "--run", "x")) == (
        "Error: runs/x/README.md exists, perhaps with what you have added. "
        "Remove it, or choose another --output.\n"
    )
    assert file.read_text() == "mine"


@pytest.mark.extras
def test_the_library_of_the_hub_reads_the_results(at: Path) -> None:
    """As its page of the model would show them."""
    hub = pytest.importorskip("huggingface_hub")
    card = hub.ModelCard(model_card("x").path.read_text())
    kept = read_evaluation(Run(Path("runs/x")), split="val")
    assert card.data.model_name == "x"
    assert [(one.metric_type, one.metric_value) for one in card.data.eval_results] == [
        ("accuracy", kept.accuracy),
        ("f1", kept.macro_f1),
    ]
    assert card.data.license is None
