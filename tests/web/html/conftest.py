"""A report that the tests of pages share."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from kvgg_jax.runs.folder import Run
from support.commands import kvgg
from support.pages import HOSTILE_CLASS as HOSTILE
from support.pages import SECTIONS, WROTE, Page
from support.runs import Trained, narrow


@pytest.fixture(scope="session")
def reported(tmp_path_factory: pytest.TempPathFactory, trained: Trained) -> Path:
    """A folder with a run `runs/x`, its photos, a class of a hostile name, and the report."""
    place = tmp_path_factory.mktemp("report")
    run = Run(shutil.copytree(trained.run, place / "runs" / "x"))
    shutil.copytree(trained.photos, place / "photos")
    (place / "photos" / "red").rename(place / "photos" / HOSTILE)
    run.write("classes.json", json.dumps(["blue", "green", HOSTILE]))
    quoted = HOSTILE.replace('"', '""')
    split = re.sub('"?red/(.*?)"?,"?red"?,', rf'"{quoted}/\1","{quoted}",', run.read("split.csv"))
    run.write("split.csv", split)
    config = run.read("config.toml").replace(str(trained.photos), str(place / "photos"))
    run.write("config.toml", config)
    with narrow(), pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        result = kvgg("report")
    assert result.exit_code == 0, result.output
    path, contents, _ = re.fullmatch(WROTE, result.stdout).groups()
    assert (path, contents.split(", ")) == ("runs/x/report.html", SECTIONS)
    assert result.stderr.splitlines()[:2] == [
        "Using runs/x, the newest finished run",
        "Evaluating runs/x",
    ]
    return place


@pytest.fixture
def page(reported: Path) -> Page:
    return Page((reported / "runs" / "x" / "report.html").read_text())
