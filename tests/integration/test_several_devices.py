"""A run on several devices is the run on one, and resumes to the bit."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from support import several_devices
from support.faults import assert_same_run
from support.several_devices import CASES

pytestmark = pytest.mark.usefixtures("thin_network")


class Found(NamedTuple):
    """What the program gave."""

    steps: dict[str, dict[str, Any]]
    runs: dict[str, Any]
    folder: Path


def compute(folder: Path, cases: list[str]) -> Found:
    """In one process with eight simulated devices."""
    env = {
        **os.environ,
        "XLA_FLAGS": "--xla_force_host_platform_device_count=8",
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    program = [sys.executable, several_devices.__file__, str(folder), *cases]
    done = subprocess.run(program, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return Found(**json.loads(done.stdout), folder=folder / "runs")


def check_distances(figures: dict[str, Any]) -> None:
    """Of the first step; later weights may part at a pooling that rounding decides."""
    assert figures["gradients"] < 1e-5
    assert figures["losses"] < 1e-5


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Found:
    """The least that shows it."""
    return compute(tmp_path_factory.mktemp("devices"), ["seed 0", "fsdp"])


@pytest.mark.faults
def test_all_kinds_of_steps_and_runs_are_those_of_one_device(tmp_path: Path) -> None:
    """Whatever the seed, the augmentation and the layers; with two all-reduces, and no gather.

    Batch norm sums twice more for each layer. A reduce-scatter was silently wrong over gloo
    (jax-ml/jax#40830).
    """
    found = compute(tmp_path, [case for case in CASES if case != "fsdp"])
    for case, figures in found.steps.items():
        check_distances(figures)
        (collectives,) = figures["programs"]
        assert {*collectives} == {"all-reduce"}
        assert len(collectives) == 2 or case == "batch norm"
    check_runs(found)


def test_losses_and_gradients_are_those_of_one_device(found: Found) -> None:
    """One program for all steps, the padded last one included, with two all-reduces."""
    check_distances(found.steps["seed 0"])
    assert found.steps["seed 0"]["programs"] == [["all-reduce", "all-reduce"]]


def test_sharded_weights_give_the_same_and_take_a_share_of_the_memory(found: Found) -> None:
    """Eight devices; arrays that are not worth it are whole on each."""
    figures = found.steps["fsdp"]
    check_distances(figures)
    assert figures["bytes"] < 1.2 / 8
    assert "reduce-scatter" not in figures["programs"][0]


def check_runs(found: Found) -> None:
    """Two runs are alike to the bit, whether the photos are on the devices or come from the host,
    and so is one that was cut amid an epoch and resumed.

    What it had saved loads alike on one, two and eight devices.
    """
    assert_same_run(found.folder / "whole", found.folder / "again")
    assert_same_run(found.folder / "whole", found.folder / "cut")
    assert found.runs == {
        "stopped": "Stopped in epoch 2, after step 1 of 4.",
        "loaded alike": [True, True],
        "warnings": [],
    }


def test_a_run_on_several_devices_is_repeated_and_resumed_to_the_bit(found: Found) -> None:
    """Weights, optimizer, history and best epoch."""
    check_runs(found)
