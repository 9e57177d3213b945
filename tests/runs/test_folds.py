"""The folds of a cross-validation: how they are found, and what is said where one is not whole."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from kvgg_jax.core.errors import RunError
from kvgg_jax.runs.folder import Run
from kvgg_jax.runs.folds import find_crossval, read_folds
from support.runs import Trained

REPEAT = "Repeat its kvgg crossval command, which resumes."


@pytest.fixture
def path(folds: Path, tmp_path: Path) -> Path:
    """Two folds that a test may damage."""
    return Path(shutil.copytree(folds, tmp_path / "runs" / "cv"))


def refusal(path: Path) -> str:
    with pytest.raises(RunError) as caught:
        read_folds(path)
    return str(caught.value)


def test_folds_are_found_by_path_and_by_name(path: Path) -> None:
    """In their order; with a fold alone it is a cross-validation that may be resumed."""
    assert find_crossval(path, out=Path("elsewhere")) == path
    assert find_crossval("cv", out=path.parent) == path
    assert read_folds(path) == [Run(path / "fold-1"), Run(path / "fold-2")]
    (path / "crossval.json").unlink()
    assert find_crossval(path, out=Path("elsewhere")) == path


def test_a_run_and_nothing_are_no_cross_validation(trained: Trained, tmp_path: Path) -> None:
    """A run of that name is the run."""
    assert find_crossval(trained.run, out=tmp_path) is None
    assert find_crossval("none", out=tmp_path) is None


def test_a_fold_that_is_not_whole_is_named(path: Path) -> None:
    """With what finishes it."""
    Run(path / "fold-2").update_info(status="unfinished")
    assert refusal(path) == f"{path}/fold-2 is unfinished. {REPEAT}"
    shutil.rmtree(path / "fold-2")
    assert refusal(path) == f"{path}/fold-2 is missing. {REPEAT}"
    file = path / "crossval.json"
    file.write_text(json.dumps({"status": "unfinished", "folds": [{}]}))
    assert refusal(path) == f"{path} is unfinished: 1 folds are done. {REPEAT}"
    for damaged in ("{", "[]", '{"status": "finished", "folds": []}'):
        file.write_text(damaged)
        assert refusal(path) == f"{path}/crossval.json is damaged. {REPEAT}"
    file.unlink()
    assert refusal(path) == f"{path} has no crossval.json: its folds were not collected. {REPEAT}"
