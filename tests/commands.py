"""What the tests of the commands share: how to call them, and how to read what they say."""

from __future__ import annotations

import re
from pathlib import Path

from typer import rich_utils
from typer.testing import CliRunner, Result

from kvgg_jax.cli import app

rich_utils.FORCE_TERMINAL = None  # whatever GITHUB_ACTIONS or PY_COLORS say
ENVIRONMENT = {"COLUMNS": "80", "FORCE_COLOR": None, "NO_COLOR": None}
TINY = ("--arch", "vgg11", "--head", "gap", "--image-size", "32", "--batch-size", "8")


def kvgg(*arguments: str | Path) -> Result:
    """Call a command in this process, 80 columns wide and without a terminal."""
    runner = CliRunner(env=ENVIRONMENT)
    return runner.invoke(app, [str(argument) for argument in arguments], prog_name="kvgg")


def message(result: Result) -> str:
    """All that a failed command said, Typer's panel around a usage error taken off."""
    assert isinstance(result.exception, SystemExit), result.exception
    if "╭" not in result.stderr:
        return result.stderr
    panel = re.findall(r"^│ (.*?) *│$", result.stderr, re.MULTILINE)
    return f"Error: {' '.join(panel)}\n"
