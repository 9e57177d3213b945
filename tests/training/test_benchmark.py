"""What `kvgg bench` measures, on the smallest network."""

from __future__ import annotations

import json
from dataclasses import fields

import pytest

from kvgg_jax.core.config import RunConfig
from kvgg_jax.models.kernels.native import library
from kvgg_jax.training.benchmark import Bench
from support.commands import kvgg

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
    assert all(value > 0 for value in printed.values() if not isinstance(value, str))
    lines = kvgg("bench", *SMALL, "--repeats", "1").stdout.splitlines()
    assert lines[0].endswith("4 images of 32 px")
    assert f"3x3 convolutions: {library.describe()}" in lines


def test_without_settings_bench_takes_eight_photos_of_the_size_of_the_paper(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Batches of 32 would take minutes; a config without `batch_size` has the 32 of training."""
    asked: list[RunConfig] = []

    def listen(config: RunConfig, **_: object) -> Bench:
        asked.append(config)
        return Bench("cpu", *(1,) * (len(fields(Bench)) - 1))

    monkeypatch.setattr("kvgg_jax.training.benchmark.bench", listen)
    kvgg("bench")
    kvgg("bench", "--config", "configs/fast.toml")
    assert [(c.data.image_size, c.train.batch_size) for c in asked] == [(None, 8), (64, 32)]
