"""The process asks for huge pages once, and only where that is of use."""

import os
import subprocess
import sys

import pytest

from kvgg_jax.cli import huge_pages
from kvgg_jax.cli.huge_pages import restart_with_huge_pages

glibc = pytest.mark.skipif(not huge_pages._useful(), reason="no huge pages on request here")


@pytest.fixture
def started(monkeypatch):
    """What `execv` would have started."""
    calls = []
    monkeypatch.setattr(os, "execv", lambda *args: calls.append(args))
    monkeypatch.setattr(huge_pages, "_useful", lambda: True)
    return calls


def test_the_same_command_starts_again_with_the_wish(started, monkeypatch):
    monkeypatch.setenv("GLIBC_TUNABLES", "glibc.malloc.check=1")
    monkeypatch.setattr(sys, "orig_argv", ["python", "-X", "dev", "cli.py", "train"])
    restart_with_huge_pages()
    assert started == [(sys.executable, [sys.executable, "-X", "dev", "cli.py", "train"])]
    assert os.environ["GLIBC_TUNABLES"] == "glibc.malloc.check=1:glibc.malloc.hugetlb=1"
    restart_with_huge_pages()
    assert len(started) == 1


def test_what_the_user_says_is_respected(started, monkeypatch):
    monkeypatch.setenv("GLIBC_TUNABLES", "glibc.malloc.hugetlb=0")
    restart_with_huge_pages()
    assert started == []


@pytest.mark.parametrize(
    ("libc", "mode", "useful"),
    [
        ("glibc 2.36", "always [madvise] never", True),
        ("glibc 2.35", "always [madvise] never", True),
        ("glibc 2.34", "always [madvise] never", False),
        ("glibc 2.36", "[always] madvise never", False),
        ("glibc 2.36", "always madvise [never]", False),
        (None, "always [madvise] never", False),
    ],
)
def test_where_it_is_of_use(libc, mode, useful, monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(os, "confstr", lambda name: libc)
    monkeypatch.setattr(huge_pages, "MODE", tmp_path / "enabled")
    assert huge_pages._useful() is False, "no such file"
    (tmp_path / "enabled").write_text(mode)
    assert huge_pages._useful() is useful


@glibc
def test_the_program_restarts_itself_and_answers_as_before():
    """From a real process: its arguments, its streams and its exit code survive."""
    code = (
        "import sys, os; from kvgg_jax.cli.huge_pages import restart_with_huge_pages as restart;"
        "restart(); print(os.environ['GLIBC_TUNABLES'], sys.argv[1:]); sys.exit(3)"
    )
    env = {k: v for k, v in os.environ.items() if k != "GLIBC_TUNABLES"}
    command = [sys.executable, "-c", code, "a b", "--json"]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.stdout == "glibc.malloc.hugetlb=1 ['a b', '--json']\n"
    assert done.returncode == 3
