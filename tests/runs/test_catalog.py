"""Run folders in `--out`: named, found and ordered."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from kvgg_jax import load_classifier
from kvgg_jax.core.errors import RunError
from kvgg_jax.runs.catalog import find
from kvgg_jax.runs.folder import Run
from support.runs import Trained

pytestmark = pytest.mark.usefixtures("thin_network")


def copy_run(source: Path, target: Path, **info: Any) -> Path:
    """A run folder of its own, with some fields of `run.json` changed."""
    shutil.copytree(source, target)
    Run(target).update_info(**info)
    return target


def test_a_run_that_is_not_there_is_looked_for_by_folder_and_by_name(
    trained: Trained, tmp_path: Path
) -> None:
    """The message says both places and what runs there are."""
    copy_run(trained.run, tmp_path / "first")
    with pytest.raises(RunError) as caught:
        load_classifier("nope", out=tmp_path)
    assert str(caught.value) == (
        f"No run at nope or {tmp_path}/nope. Runs there: first. "
        "Use one of them; kvgg runs lists all."
    )
    with pytest.raises(RunError) as caught:
        load_classifier("nope", out=tmp_path / "none")
    assert str(caught.value) == (
        f"No run at nope or {tmp_path}/none/nope. Train one first: kvgg train --data DIR."
    )
    with pytest.raises(RunError) as caught:
        load_classifier(out=tmp_path / "none")
    assert str(caught.value) == (
        f"No finished run in {tmp_path}/none. Train one first: kvgg train --data DIR."
    )


def test_the_newest_finished_run_is_the_default(trained: Trained, tmp_path: Path) -> None:
    """By the time it was created, not by name; a run still under way is passed over."""
    for name, day, status in (
        ("zebra", "2026-01-01", "finished"),
        ("ant", "2026-01-02", "finished"),
        ("bee", "2026-01-03", "unfinished"),
    ):
        copy_run(trained.run, tmp_path / name, created=f"{day}T00:00:00+00:00", status=status)
    assert load_classifier(out=tmp_path).run.path == tmp_path / "ant"
    assert load_classifier("zebra", out=tmp_path).run.path == tmp_path / "zebra"


def test_the_newest_run_is_the_one_made_last_whatever_the_clock_said(trained, tmp_path):
    """By number; runs without one by their moment, in whatever time zone it is written."""
    for name, number, created in (
        ("a", None, "2026-11-24T09:30:00+09:00"),  # 00:30 UTC
        ("b", None, "2026-11-24T01:00:00+00:00"),
        ("c", 2, "2025-01-01T00:00:00+00:00"),  # the clock was set back
        ("d", 1, "2026-12-01T00:00:00+00:00"),
    ):
        run = Run(shutil.copytree(trained.run, tmp_path / name))
        info = {**run.info(), "created": created, "number": number}
        run.write("run.json", json.dumps({k: v for k, v in info.items() if v is not None}))
    assert find(out=tmp_path).path.name == "c"
    for name in ("c", "d"):
        shutil.rmtree(tmp_path / name)
    assert find(out=tmp_path).path.name == "b"
