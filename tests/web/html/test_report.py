"""`kvgg report`: one page on a run, with what can be had and the reason for what cannot."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from kvgg_jax.web.html import report
from support.commands import kvgg, message
from support.pages import SECTIONS, WROTE, Page
from support.runs import THIN_VGG11

pytestmark = pytest.mark.usefixtures("thin_network", "blank")

FIGURES = ("result", "confusion", "classes", "calibration")


@pytest.fixture
def at(reported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same, to be changed: the photos are where the run says, and the current folder has it."""
    shutil.copytree(reported / "runs", tmp_path / "runs")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def without_evaluation(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("evaluated again")

    monkeypatch.setattr(report, "evaluate", refuse)


def test_a_report_made_again_evaluates_nothing(
    at: Path, page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kept figures are of the same weights, photos and calibration; the page is the same."""
    without_evaluation(monkeypatch)
    result = kvgg("report", "--output", "new.html", "--json")
    assert json.loads(result.stdout) == {
        "run": "runs/x",
        "path": "new.html",
        "bytes": Path("new.html").stat().st_size,
        "split": "val",
        "contents": SECTIONS,
        "left_out": {},
    }
    again = Page(Path("new.html").read_text())
    assert again.tags == page.tags
    assert again.text.split("Made by")[0] == page.text.split("Made by")[0]


def test_figures_of_other_weights_are_not_taken(at: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The run has gone on since: it is evaluated again."""
    without_evaluation(monkeypatch)
    file = Path("runs/x/evaluation-val.json")
    file.write_text(json.dumps({**json.loads(file.read_text()), "state": "1-0123456789abcdef"}))
    with pytest.raises(AssertionError, match="evaluated again"):
        report.report("x")


def test_without_the_photos_the_kept_figures_remain(
    at: Path, reported: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mistakes are named in words, and the page says what is missing and why."""
    without_evaluation(monkeypatch)
    hidden = (reported / "photos").rename(reported / "elsewhere")
    try:
        result = kvgg("report", "--json")
    finally:
        hidden.rename(reported / "photos")
    reason = f"The photos are not in {reported}/photos. Say where they are: --data DIR --split val"
    made = json.loads(result.stdout)
    assert made["left_out"] == {"mistakes": reason, "photos": reason}
    assert made["contents"] == [part for part in SECTIONS if part not in ("mistakes", "photos")]
    assert f"Left out: mistakes. {reason}" in result.stderr.splitlines()
    page = Page(Path(made["path"]).read_text())
    assert page.all("img") == []
    assert page.text.count(f"Left out: {reason}") == 2
    assert "The most confident mistakes" in page.text


def test_without_photos_and_figures_the_training_remains(at: Path, reported: Path) -> None:
    """The run was never evaluated, and cannot be now."""
    Path("runs/x/evaluation-val.json").unlink()
    file = Path("runs/x/config.toml")
    file.write_text(file.read_text().replace(str(reported / "photos"), "/nowhere"))
    made = report.report("x")
    assert made.contents == ("curves", "cost", "making")
    reason = "The photos are not in /nowhere. Say where they are: --data DIR --split val"
    unnamed = "There are no figures that would name them."
    assert made.left_out == {
        **dict.fromkeys(FIGURES, reason),
        "mistakes": unnamed,
        "photos": reason,
    }


def test_parts_can_be_left_out(at: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And then TensorFlow, Keras and the network are not loaded either."""
    look = "print(sorted({'tensorflow', 'keras'} & {*sys.modules}))"
    code = f"import atexit, sys; atexit.register(lambda: {look})\n"
    code += THIN_VGG11 + "from kvgg_jax.cli.main import main\nmain()"
    command = [sys.executable, "-c", code, "report", "--mistakes", "0", "--no-check"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    line, imported = done.stdout.splitlines()
    assert re.fullmatch(WROTE, f"{line}\n")[2].split(", ") == [
        part for part in SECTIONS if part not in ("mistakes", "photos")
    ]
    assert (imported, done.stderr) == ("[]", "Using runs/x, the newest finished run\n")
    assert "Left out: not asked for" in Page(Path("runs/x/report.html").read_text()).text


def test_a_report_that_cannot_be_made_is_refused_at_once(at: Path) -> None:
    """Before the long work, with the next move; nothing is written."""
    before = sorted(at.rglob("*"))
    for place, reason in {
        "runs": "it is not a file",
        "no/report.html": "No such file or directory",
    }.items():
        assert message(kvgg("report", "--output", place)) == (
            f"Error: Cannot write {place}: {reason}. Choose another --output.\n"
        )
    assert kvgg("report", "--split", "dev").exit_code == 2
    with pytest.raises(ValueError, match="mistakes 25: use 0 to 24"):
        report.report("x", mistakes=25)
    assert sorted(at.rglob("*")) == before
    Path("runs/x/history.csv").unlink()
    assert message(kvgg("report", "--run", "x")) == (
        "Error: runs/x has no finished epoch yet, so there is nothing to report. "
        "Continue it: kvgg train --resume runs/x\n"
    )
