"""A run on a disk that cannot be written: it is judged and used all the same, and not trained."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.commands import TINY, kvgg, message
from support.runs import Trained, draw_photos

pytestmark = pytest.mark.usefixtures("thin_network", "blank")
WHY = "Read-only file system" if os.geteuid() == 0 else "Permission denied"


@pytest.fixture
def sealed(trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Trained]:
    """A folder `runs` with the run `x`, and nothing in it can be written; photos it errs on."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(trained.run, "runs/x")
    photos = draw_photos(tmp_path / "photos", size=40)  # no copies of those trained on
    for name, other in (("red", "green"), ("green", "blue")):  # mistakes to calibrate by
        for number in range(6):
            shutil.move(photos / name / f"{name}_{number:02}.png", photos / other)
    runs = tmp_path / "runs"
    if os.geteuid() == 0:  # permissions do not stop root, a mount does
        mounted = subprocess.run(
            ["mount", "--bind", "-o", "ro", runs, runs], capture_output=True, text=True, check=False
        )
        if mounted.returncode:
            pytest.skip(f"root may not mount here: {mounted.stderr.strip()}")
    else:
        for folder in (runs / "x", runs):
            folder.chmod(0o555)
    try:
        yield Trained(Path("runs/x"), photos)
    finally:
        if os.geteuid() == 0:
            subprocess.run(["umount", runs], check=True)
        else:
            for folder in (runs, runs / "x"):
                folder.chmod(0o755)


def warnings(text: str) -> list[str]:
    return [line for line in text.splitlines() if WHY in line]


def test_evaluate_answers_and_says_once_that_nothing_is_kept(sealed: Trained) -> None:
    """With figures and exit code 0."""
    result = kvgg("evaluate", "--run", sealed.run)
    assert result.exit_code == 0, result.output
    assert warnings(result.stderr) == [
        f"Cannot lock runs/x by runs/x/.evaluation.lock: {WHY}. "
        "The evaluation is shown and not kept."
    ]
    assert result.stdout.startswith("runs/x on 7 images (val): accuracy ")
    assert "Wrote to" not in result.stdout


def test_calibrate_answers_and_says_that_nothing_will_use_it(sealed: Trained) -> None:
    """Nor does anything then."""
    result = kvgg("calibrate", "--run", sealed.run, "--data", sealed.photos, "--json")
    assert result.exit_code == 0, result.output
    assert warnings(result.stderr) == [
        f"Cannot write runs/x/calibration.json: {WHY}. "
        "The calibration is shown and not stored, so nothing will use it."
    ]
    assert json.loads(result.stdout)["is_stored"] is False


def test_predict_needs_nothing_to_be_written(sealed: Trained) -> None:
    """No warning, as nothing is missing."""
    result = kvgg("predict", sealed.photos, "--run", sealed.run)
    assert result.exit_code == 0, result.output
    assert warnings(result.stderr) == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ("--overwrite", "--name", "x"),
            f"Error: Cannot write to runs: {WHY}. Choose another folder with --out.\n",
        ),
        (
            ("--resume", "runs/x", "--epochs", "3"),
            f"Error: Cannot lock runs/x by {{here}}/runs/.x.lock: {WHY}.\n",
        ),
    ],
    ids=["train", "resume"],
)
def test_training_there_is_refused(
    arguments: tuple[str, ...], said: str, sealed: Trained, tmp_path: Path
) -> None:
    """Before anything is read."""
    new = () if "--resume" in arguments else (*TINY, "--data", sealed.photos)
    result = kvgg("train", *new, *arguments)
    assert (result.exit_code, message(result)) == (1, said.format(here=tmp_path))


def test_runs_are_compared_without_a_picture(sealed: Trained, trained: Trained) -> None:
    """That they are told apart is not lost for it."""
    result = kvgg("runs", sealed.run, trained.run, "--data", sealed.photos, "--json")
    assert result.exit_code == 0, result.output
    assert warnings(result.stderr) == [
        f"Cannot write runs/comparison.png: {WHY}. The comparison is shown without it."
    ]
    found = json.loads(result.stdout)
    assert (found["picture"], len(found["pairs"])) == (None, 1)
    assert "Curves" not in kvgg("runs", sealed.run, trained.run, "--data", sealed.photos).stdout


def test_a_report_goes_elsewhere(sealed: Trained, tmp_path: Path) -> None:
    """With the figures that could not be kept."""
    page = tmp_path / "report.html"
    result = kvgg("report", "--run", sealed.run, "--output", page, "--no-check")
    assert result.exit_code == 0, result.output
    assert len(warnings(result.stderr)) == 1
    assert "Confusion matrix" in page.read_text()
