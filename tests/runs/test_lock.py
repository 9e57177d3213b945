"""One process a run folder, however the one before it ended."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import multiprocessing
import os
import platform
import re
import signal
import subprocess
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from kvgg_jax.core.errors import RunError
from kvgg_jax.runs import lock
from kvgg_jax.runs.lock import EVALUATION, INSIDE, evaluation_lock, lock_file, locked


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


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[tuple[Path, Path]]:
    """A run folder with a file, and the same one mounted at another path."""
    run, other = tmp_path / "runs" / "run", tmp_path / "mounted"
    run.mkdir(parents=True)
    other.mkdir()
    (run / "config.toml").touch()
    if subprocess.run(["mount", "--bind", run, other], capture_output=True, check=False).returncode:
        pytest.skip("mounting needs to be root, and a system that allows it")
    yield run, other
    subprocess.run(["umount", other], check=True)


def test_a_run_that_is_mounted_twice_has_one_writer(mounted: tuple[Path, Path]) -> None:
    """As in two containers: a lock beside the folder is not the same file there."""
    run, other = mounted
    with locked(run), pytest.raises(RunError, match=f"^{other} is in use by process {os.getpid()}"):
        locked(other).__enter__()
    with locked(other), pytest.raises(RunError, match=f"^{run} is in use by process {os.getpid()}"):
        locked(run).__enter__()
    assert [path.name for path in run.iterdir()] == ["config.toml"]


def test_a_run_that_is_made_or_replaced_under_its_lock_is_held_inside_too(tmp_path: Path) -> None:
    """The lock of the old folder goes with it; that of the new one is there until the end."""
    run = tmp_path / "run"
    run.mkdir()
    (run / "old").touch()
    with locked(run) as hold_inside:
        (run / "old").unlink()
        (run / INSIDE).unlink()
        run.rmdir()
        run.mkdir()
        hold_inside()
        assert (run / INSIDE).read_text() == f"process {os.getpid()} on {platform.node()}"
    assert list(tmp_path.rglob("*")) == [run]


@pytest.mark.parametrize("why", [errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_disk_without_locks_is_refused_with_one_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, why: int
) -> None:
    """Some network file systems have none. Nothing stays behind."""

    def flock(handle: int, how: int) -> None:
        raise OSError(why, os.strerror(why))

    monkeypatch.setattr(fcntl, "flock", flock)
    with pytest.raises(RunError) as caught, locked(tmp_path / "run"):
        pass
    assert str(caught.value) == (
        f"Cannot lock {tmp_path}/run: its disk has no file locks ({os.strerror(why)}), so two "
        "processes could write to it at once. Choose a folder on another disk with --out."
    )
    assert list(tmp_path.iterdir()) == []


def test_an_evaluation_waits_for_another_one_and_not_for_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a while it gives up."""
    tmp_path.joinpath("config.toml").touch()
    waited = []

    def sleep(seconds: float) -> None:
        waited.append(seconds)
        first.close()

    with locked(tmp_path):
        first = contextlib.ExitStack()
        first.enter_context(evaluation_lock(tmp_path))
        monkeypatch.setattr(lock.time, "sleep", sleep)
        with evaluation_lock(tmp_path):
            assert waited == [lock.PAUSE]
            monkeypatch.setattr(lock, "WAIT", 0.0)
            with pytest.raises(RunError, match=f"^{tmp_path} is in use by process "):
                evaluation_lock(tmp_path).__enter__()
        assert not (tmp_path / EVALUATION).exists()
