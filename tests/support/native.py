"""The native library of this machine, and a compiler that only copies it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from kvgg_jax.models.kernels.native.library import Library, load
from support.runs import ROOT

REAL = load()
needs_library = pytest.mark.skipif(
    not isinstance(REAL, Library), reason="native code cannot be built here"
)
LOAD = "from kvgg_jax.models.kernels.native.library import load; print(load())"


def write_compiler(file: Path, *, first: str = "") -> None:
    """It takes no time, runs the line `first`, and counts its calls in `calls` beside it."""
    copy = f'cp "{REAL.file}" "$last"' if isinstance(REAL, Library) else ""
    lines = ["#!/bin/sh", f'echo >> "{file.with_name("calls")}"', 'sleep "${WAIT:-0}"']
    file.write_text("\n".join([*lines, "for last; do :; done", first, copy, ""]))
    file.chmod(0o755)


def calls(compiler: Path) -> int:
    file = compiler.with_name("calls")
    return len(file.read_text().splitlines()) if file.exists() else 0


def start() -> subprocess.Popen[str]:
    """A process that loads the library, and prints it. Its compiler is in its group."""
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", LOAD]
    return subprocess.Popen(
        command, env=env, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
