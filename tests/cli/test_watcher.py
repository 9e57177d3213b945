"""A process that is killed or aborts gets a last message; one that ends by itself does not."""

from __future__ import annotations

import subprocess
import sys

import pytest

from kvgg_jax.cli import watcher
from support.runs import PATIENCE, ROOT

CODE = """
import os, signal, sys
from kvgg_jax.cli.watcher import dismiss, watched
with watched():
    {end}
"""
MESSAGE = (
    "\nError: The process was killed or aborted; most likely, memory ran out. Use a smaller "
    "--batch-size or --image-size, or more memory. What was saved is intact, and the run can be "
    "resumed.\n"
)


@pytest.mark.parametrize(
    ("end", "code", "text"),
    [
        ("os.abort()", -6, MESSAGE),
        ("os.kill(os.getpid(), signal.SIGKILL)", -9, MESSAGE),
        ("pass", 0, ""),
        ("sys.exit(3)", 3, ""),
        ("dismiss(); os._exit(130)", 130, ""),
        ("os.killpg(0, signal.SIGTERM)", -15, MESSAGE),
    ],
    ids=["abort", "kill", "end", "exit", "stop at once", "its group is ended"],
)
def test_only_an_end_without_a_message_gets_one(end: str, code: int, text: str) -> None:
    """The signals that stop a run do not reach the shell beside it, if its group gets them."""
    done = subprocess.run(
        [sys.executable, "-c", CODE.format(end=end)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        start_new_session=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (code, "", text)


def test_without_a_shell_there_is_no_watcher_and_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """The work is what matters."""
    monkeypatch.setenv("PATH", "")
    with watcher.watched():
        assert watcher._watchers == []
