"""The result goes to stdout: what happens where nobody reads it, or there is no room for it."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from kvgg_jax.cli.output import print_json
from support.runs import ROOT


def unread() -> int:
    """A pipe whose reader has gone."""
    reader, writer = os.pipe()
    os.close(reader)
    return writer


def full() -> int:
    return os.open("/dev/full", os.O_WRONLY)


@pytest.mark.parametrize(
    ("place", "said"),
    [(unread, ""), (full, "Error: Cannot write the result: No space left on device.\n")],
)
@pytest.mark.parametrize("form", [(), ("--json",)], ids=["text", "json"])
def test_a_result_that_cannot_be_written_is_no_traceback(
    place: Callable[[], int], said: str, form: tuple[str, ...]
) -> None:
    """Exit code 1, and one line or none."""
    if place is full and not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    stdout = place()
    done = subprocess.run(
        [sys.executable, ROOT / "cli.py", "summary", *form],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(stdout)
    assert (done.returncode, done.stderr) == (1, said)


def test_a_name_that_the_terminal_cannot_write_is_escaped(tmp_path: Path) -> None:
    """Not a traceback after all the work; UTF-8 has every letter."""
    code = (
        "import sys; from kvgg_jax.cli import main as cli; from rich.console import Console;"
        "cli.app = lambda: Console().print('Кофе.jpg: Dark'); cli.main()"
    )
    for encoding, said in (
        ("latin-1", r"\u041a\u043e\u0444\u0435.jpg: Dark"),
        ("utf-8", "Кофе.jpg: Dark"),
    ):
        env = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": encoding}
        done = subprocess.run(
            [sys.executable, "-c", code], env=env, capture_output=True, check=False
        )
        assert (done.returncode, done.stdout.decode(encoding).strip()) == (0, said), done.stderr


def test_json_has_null_where_there_is_no_number(capsys: pytest.CaptureFixture[str]) -> None:
    """NaN and infinity are no JSON, though Python writes them."""
    print_json({"runs": [{"val_loss": math.nan, "lr": 0.5}], "ends": (-math.inf, 1)})
    assert json.loads(capsys.readouterr().out, parse_constant=pytest.fail) == {
        "runs": [{"val_loss": None, "lr": 0.5}],
        "ends": [None, 1],
    }
