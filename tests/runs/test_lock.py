"""One process a run folder, however the one before it ended."""

from __future__ import annotations

import multiprocessing
import os
import platform
import re
import signal
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from kvgg_jax.core.errors import RunError
from kvgg_jax.runs.lock import lock_file, locked


def hold(run: Path, pipe: Connection) -> None:
    with locked(run):
        pipe.send(os.getpid())
        pipe.recv()


def test_a_lock_is_there_for_its_time_and_leaves_no_file(tmp_path):
    """The run folder itself need not exist: it may be replaced meanwhile."""
    run = tmp_path / "run"
    with locked(run):
        assert lock_file(run) == tmp_path / ".run.lock"
        text = lock_file(run).read_text()
        assert text == f"process {os.getpid()} on {platform.node()}"
    assert list(tmp_path.iterdir()) == []
    with locked(run):
        pass


def test_a_second_process_is_told_who_holds_the_run_and_a_kill_sets_it_free(tmp_path):
    """Through a link to the folder too; what a killed holder leaves locks nobody out."""
    (tmp_path / "run").mkdir()
    (tmp_path / "link").symlink_to("run")
    ours, theirs = multiprocessing.Pipe()
    child = multiprocessing.get_context("spawn").Process(
        target=hold, args=(tmp_path / "run", theirs)
    )
    child.start()
    pid = ours.recv()
    for name in ("run", "link"):
        with pytest.raises(RunError) as caught, locked(tmp_path / name):
            pass
        assert str(caught.value) == (
            f"{tmp_path / name} is in use by process {pid} on {platform.node()}. "
            "Wait for it, stop it, or choose another --name."
        )
    os.kill(pid, signal.SIGKILL)
    child.join()
    assert lock_file(tmp_path / "run").exists()
    with locked(tmp_path / "run"):
        pass
    assert not lock_file(tmp_path / "run").exists()


def test_an_error_inside_sets_the_run_free(tmp_path):
    """And passes through."""
    with pytest.raises(ZeroDivisionError), locked(tmp_path / "run"):
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


def test_a_lock_that_cannot_be_written_is_a_run_error(tmp_path):
    """Here the place of its file is taken by a folder."""
    run = tmp_path / "run"
    lock_file(run).mkdir()
    with pytest.raises(RunError) as caught, locked(run):
        pass
    expected = rf"Cannot lock {re.escape(str(run))} by {re.escape(str(lock_file(run)))}: .+\."
    assert re.fullmatch(expected, str(caught.value))
