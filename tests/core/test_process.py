"""Where the cache is."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from kvgg_jax.core.process import cache_folder
from support.runs import ROOT


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("/caches", "/caches/kvgg_jax"),
        ("", "/home/ada/.cache/kvgg_jax"),
        ("caches", "/home/ada/.cache/kvgg_jax"),
        (None, "/home/ada/.cache/kvgg_jax"),
    ],
)
def test_the_cache_is_where_the_xdg_specification_has_it(
    monkeypatch: pytest.MonkeyPatch, given: str | None, expected: str
) -> None:
    """It says that a relative path is invalid, and must be ignored."""
    monkeypatch.setenv("HOME", "/home/ada")
    monkeypatch.delenv("XDG_CACHE_HOME")
    if given is not None:
        monkeypatch.setenv("XDG_CACHE_HOME", given)
    assert cache_folder() == Path(expected)


def test_a_user_without_a_home_has_a_private_cache_until_the_process_ends(tmp_path: Path) -> None:
    """As a numeric user in a container: no HOME, no line in /etc/passwd."""
    code = (
        "import os, pwd\n"
        "def nobody(number): raise KeyError(number)\n"
        "pwd.getpwuid = nobody; del os.environ['HOME']\n"
        "from kvgg_jax.core.process import cache_folder\n"
        "folder = cache_folder(); assert cache_folder() == folder\n"
        "(folder / 'xla').mkdir(parents=True)\n"
        "print(oct(os.stat(folder.parent).st_mode), folder)"
    )
    env = {key: value for key, value in os.environ.items() if key != "XDG_CACHE_HOME"}
    env |= {"HOME": "/x", "TMPDIR": str(tmp_path), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=env, capture_output=True, text=True, check=False
    )
    mode, _, folder = done.stdout.strip().partition(" ")
    assert (done.stderr, mode) == ("", oct(stat.S_IFDIR | 0o700))
    assert Path(folder).parent.parent == tmp_path
    assert [*tmp_path.iterdir()] == []
