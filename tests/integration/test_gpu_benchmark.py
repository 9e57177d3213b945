"""`benchmarks/gpu.py` runs where a card is, which may be a bare machine."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from support.runs import ROOT

FILE = ROOT / "benchmarks" / "gpu.py"
LACKING = """
import sys
class Lacking:
    def find_spec(self, name, *_):
        if name.partition(".")[0] in {names}:
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Lacking())
sys.path.insert(0, {folder!r})
import gpu
gpu.network(gpu.Case("vgg11", "float32", 2, 32))
"""


def test_it_needs_keras_jax_numpy_and_pydantic_alone() -> None:
    """What a bare machine may lack is not imported, also when a network is built."""
    names = {"tensorflow", "orbax", "tomli_w", "typer", "matplotlib", "sklearn", "PIL", "optuna"}
    program = LACKING.format(names=names, folder=str(FILE.parent))
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.usefixtures("thin_network")
def test_it_prints_a_row_per_case(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On a CPU, at a small size."""
    monkeypatch.syspath_prepend(FILE.parent)
    import gpu

    words = [
        "--arch",
        "vgg11",
        "--batch-size",
        "2",
        "--image-size",
        "32",
        "--precision",
        "bfloat16",
        "--repeats",
        "1",
    ]
    monkeypatch.setattr(sys, "argv", [Path(FILE).name, *words])
    monkeypatch.setattr(gpu, "SIDE", 256)
    gpu.main()
    lines = capsys.readouterr().out.splitlines()
    assert lines[2] == gpu.HEAD
    number = r"[\d.]+"
    cells = (
        rf"vgg11 \| bfloat16 \| 2 \| {number} \| \d+% \| {number} \| \d+% \| {number} \| - \| - \| "
    )
    assert re.fullmatch(rf"\| {cells}0.0e\+00 \|", lines[4])
