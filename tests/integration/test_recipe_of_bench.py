"""`kvgg bench` and `kvgg summary` are about the recipe that `train` would use."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from support.commands import kvgg

pytestmark = pytest.mark.usefixtures("thin_network")


def test_bench_and_summary_are_of_the_recipe_in_a_config_file_and_flags_win(tmp_path: Path) -> None:
    """Its network, size and batch; its step with augmentation, mixing, average, weight decay."""
    file = tmp_path / "recipe.toml"
    file.write_text(
        """
        [data]
        image_size = 48
        augment = "light"
        crop = 0.5
        erase = 0.5
        mix = "mixup"
        [model]
        arch = "vgg11"
        batch_norm = true
        [optim]
        schedule = "cosine"
        warmup_steps = 60
        weight_decay = 1e-4
        [train]
        batch_size = 2
        ema = 0.95
        class_weight = "balanced"
        """
    )
    recipe = ("--config", str(file), "--head", "gap", "--json")
    timed = json.loads(kvgg("bench", *recipe, "--repeats", "1").stdout)
    assert (timed["image_size"], timed["batch_size"]) == (48, 2)
    cost = json.loads(kvgg("summary", *recipe).stdout)
    flops = timed["train_step_seconds"] * timed["train_flops_per_second"]
    assert flops == pytest.approx(cost["training_flops"])
    named = ("--arch", "vgg11", "--batch-norm", "--head", "gap", "--image-size", "48")
    assert cost == json.loads(kvgg("summary", *named, "--batch-size", "2", "--json").stdout)
    assert sum(layer["statistics"] for layer in cost["layers"]) > 0
