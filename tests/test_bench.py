"""What `kvgg bench` measures, on the smallest network."""

from __future__ import annotations

import json
from dataclasses import fields

import pytest
from commands import kvgg

from kvgg_jax.bench import Bench

pytestmark = pytest.mark.usefixtures("thin_network")
SMALL = ("--arch", "vgg11", "--head", "gap", "--image-size", "32", "--batch-size", "4")


def test_bench_prints_its_figures_as_json_and_as_lines() -> None:
    """Speed and share are those of the seconds; the text names machine and size."""
    printed = json.loads(kvgg("bench", *SMALL, "--repeats", "1", "--json").stdout)
    names = [field.name for field in fields(Bench)]
    assert list(printed) == [*names, "train_share", "forward_share"]
    flops = printed["train_step_seconds"] * printed["train_flops_per_second"]
    once = json.loads(kvgg("summary", *SMALL, "--json").stdout)
    assert flops == pytest.approx(once["training_flops"])
    peak = printed["matmul_flops_per_second"]
    assert printed["train_share"] == pytest.approx(printed["train_flops_per_second"] / peak)
    assert all(value > 0 for name, value in printed.items() if name != "device")
    lines = kvgg("bench", *SMALL, "--repeats", "1").stdout.splitlines()
    assert lines[0].endswith("4 pictures of 32 px")
