"""What the tests of the commands share: how to call them, and how to read what they say."""

from __future__ import annotations

import re
from pathlib import Path

from typer.testing import CliRunner, Result

from kvgg_jax.cli import app

TINY = ("--arch", "vgg11", "--head", "gap", "--image-size", "32", "--batch-size", "8")


def kvgg(*arguments: str | Path) -> Result:
    """Call a command in this process, as a terminal of 80 columns would."""
    return CliRunner().invoke(app, [str(argument) for argument in arguments], prog_name="kvgg")


def message(result: Result) -> str:
    """All that a failed command said, Typer's panel around a usage error taken off."""
    assert isinstance(result.exception, SystemExit), result.exception
    if "╭" not in result.stderr:
        return result.stderr
    panel = re.findall(r"^│ (.*?) *│$", result.stderr, re.MULTILINE)
    return f"Error: {' '.join(panel)}\n"
