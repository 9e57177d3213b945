"""What the tests of the commands share: how to call them, and how to read what they say; and how to
calibrate a run without photos.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from typer import rich_utils
from typer.testing import CliRunner, Result

from kvgg_jax.cli.main import app
from kvgg_jax.inference.temperature import FILE, Calibration, Quality
from kvgg_jax.runs.folder import Run
from support.runs import PATIENCE, THIN_VGG11

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


def calibration_at(temperature: float, state: str) -> Calibration:
    """This temperature, as fitted to that state of a run."""
    quality = Quality(loss=0.5, calibration_error=0.1)
    return Calibration(
        temperature=temperature,
        state=state,
        split="val",
        data="/photos",
        count=10,
        wrong=2,
        before=quality,
        after=quality,
        gain_error=0.1,
        fold_temperatures=(temperature,) * 2,
    )


def calibrate_at(temperature: float, run: Run, state: str) -> None:
    """Give a run this temperature, as fitted to that state of its."""
    run.write(FILE, calibration_at(temperature, state).model_dump_json())


THIN_PROGRAM = f"""{THIN_VGG11}
from kvgg_jax.cli.main import main
main()
"""


def python(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run Python without what would color its output or make it narrow."""
    loud = {"COLUMNS", "FORCE_COLOR", "GITHUB_ACTIONS", "PY_COLORS"}
    env = {name: value for name, value in os.environ.items() if name not in loud}
    command = [sys.executable, *arguments]
    return subprocess.run(
        command, cwd=cwd, env=env, capture_output=True, text=True, timeout=PATIENCE, check=False
    )
