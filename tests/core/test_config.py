"""The configuration: the write-up's recipe, the order of precedence, and what is refused how."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvgg_jax.core.config import RunConfig
from kvgg_jax.core.config_file import parse_set, resolve
from kvgg_jax.core.errors import ConfigError, UsageError
from kvgg_jax.core.tables.model import ModelConfig


def test_the_defaults_are_the_recipe_of_the_write_up():
    """VGG16 with a slim head, Adam at 1e-4 decaying by 0.95 every 20 steps, 20 epochs of 32."""
    assert RunConfig().model_dump() == {
        "seed": 42,
        "data": {
            "dir": None,
            "val": None,
            "test": None,
            "root": None,
            "image_size": None,
            "resize": "squash",
            "val_split": 0.2,
            "test_split": None,
            "split": "keras",
            "group_by": None,
            "split_seed": None,
            "folds": None,
            "fold": None,
            "augment": "none",
            "augment_color": False,
            "crop": None,
            "erase": 0.0,
            "mix": "none",
            "mix_alpha": None,
            "balance": False,
            "shuffle_shards": None,
            "skip_bad": False,
            "cache": "auto",
        },
        "model": {
            "arch": "vgg16",
            "head": "slim",
            "pooled_stages": 2,
            "dropout": 0.0,
            "width": 1.0,
            "batch_norm": False,
            "init": "he_uniform",
            "weights": None,
            "preprocessing": None,
            "freeze": "none",
        },
        "optim": {
            "optimizer": "adam",
            "lr": 1e-4,
            "momentum": 0.0,
            "nesterov": False,
            "clip_norm": None,
            "schedule": "exponential",
            "warmup_steps": 0,
            "decay_steps": 20,
            "decay_rate": 0.95,
            "staircase": True,
            "loss": "cross-entropy",
            "focal_gamma": 2.0,
            "label_smoothing": 0.0,
            "weight_decay": 0.0,
            "stage_decay": 1.0,
            "unfreeze_every": None,
        },
        "train": {
            "epochs": 20,
            "time": None,
            "batch_size": 32,
            "accumulate": 1,
            "monitor": "accuracy",
            "patience": 20,
            "min_delta": 0.001,
            "save_every_steps": None,
            "precision": "float32",
            "devices": "1",
            "shard": "none",
            "track": (),
            "ema": None,
            "class_weight": "none",
        },
    }


@pytest.mark.parametrize(
    ("given", "named", "reason"),
    [
        ({"folds": 5}, ["folds"], "folds 5, fold None: set both, and fold 1 to folds"),
        ({"fold": 1}, ["fold"], "folds None, fold 1: set both, and fold 1 to folds"),
        (
            {"folds": 3, "fold": 4},
            ["folds", "fold"],
            "folds 3, fold 4: set both, and fold 1 to folds",
        ),
        ({"folds": 3, "fold": 3}, ["folds"], "folds need split stratified or grouped"),
    ],
)
def test_a_fold_is_one_of_the_folds(given, named, reason):
    """Half a cross-validation in a file or in flags is answered before any photo is read."""
    with pytest.raises(UsageError) as caught:
        resolve(None, dict(parse_set(f"data.{key}={value}") for key, value in given.items()))
    flags = ", ".join(f"--set data.{key}={given[key]}" for key in named)
    assert str(caught.value) == f"{flags}: {reason}."


@pytest.mark.parametrize(
    ("given", "named", "reason"),
    [
        (
            {"optimizer": "lion", "momentum": 0.9, "lr": 0.1},
            ["optimizer", "momentum"],
            "momentum has no effect with optimizer lion, only with sgd, rmsprop",
        ),
        (
            {"nesterov": "true"},
            ["nesterov"],
            "nesterov has no effect with optimizer adam, only with sgd",
        ),
        (
            {"optimizer": "sgd", "nesterov": "true"},
            ["nesterov"],
            "nesterov is a kind of momentum: set `optim.momentum` too",
        ),
        (
            {"optimizer": "adamw"},
            ["optimizer"],
            "optimizer adamw decays weights: set `optim.weight_decay` too",
        ),
        (
            {"focal_gamma": 3.0},
            ["focal_gamma"],
            "focal_gamma has no effect with loss cross-entropy, only with focal",
        ),
        (
            {"loss": "focal", "label_smoothing": 0.1},
            ["loss", "label_smoothing"],
            "label_smoothing has no effect with loss focal, only with cross-entropy",
        ),
        (
            {"schedule": "one-cycle", "warmup_steps": 9},
            ["schedule", "warmup_steps"],
            "warmup_steps has no effect with schedule one-cycle, only with exponential, cosine, "
            "constant",
        ),
    ],
)
def test_a_setting_that_has_no_effect_is_refused(given, named, reason):
    """It would look as if it had one."""
    with pytest.raises(UsageError) as caught:
        resolve(None, dict(parse_set(f"optim.{key}={value}") for key, value in given.items()))
    flags = ", ".join(f"--set optim.{key}={given[key]}" for key in named)
    assert str(caught.value) == f"{flags}: {reason}."


positive = st.floats(0, 1, exclude_min=True)
words = st.text(st.characters(exclude_categories=("Cs",)), max_size=20)
configs = st.builds(
    lambda seed, **tables: RunConfig(seed=seed, **tables),
    seed=st.integers(0, 2**32 - 1),
    data=st.fixed_dictionaries(
        {"val_split": st.floats(0, 1, exclude_min=True, exclude_max=True)},
        optional={
            "dir": words.filter(bool),
            "image_size": st.integers(32, 4096),
            "split": st.sampled_from(["keras", "stratified", "grouped"]),
            "augment": st.sampled_from(["none", "light", "strong", "randaugment"]),
            "crop": st.floats(0, 1, exclude_min=True, exclude_max=True),
            "erase": st.floats(0, 1),
            "mix": st.sampled_from(["none", "mixup", "cutmix"]),
            "mix_alpha": positive,
            "balance": st.booleans(),
            "shuffle_shards": st.none() | st.integers(1, 9),
            "skip_bad": st.booleans(),
            "cache": st.sampled_from(["auto", "memory", "disk", "none"]),
        },
    ),
    model=st.fixed_dictionaries(
        {"dropout": st.floats(0, 1, exclude_max=True), "batch_norm": st.booleans()},
        optional={
            "arch": st.sampled_from(["vgg11", "vgg13", "vgg16", "vgg19"]),
            "head": st.sampled_from(["full", "slim", "gap", "8", "256,128"]),
            "init": st.sampled_from(["he_uniform", "glorot_uniform"]),
            "weights": st.sampled_from(["imagenet", "a b/x.h5"]),
            "preprocessing": st.sampled_from(["scale", "caffe"]),
        },
    ),
    optim=st.fixed_dictionaries(
        {
            "optimizer": st.just("sgd"),
            "momentum": st.floats(0, 1, exclude_min=True, exclude_max=True),
            "nesterov": st.booleans(),
            "clip_norm": st.none() | positive,
            "lr": positive,
            "decay_rate": positive,
            "decay_steps": st.integers(1, 10**9),
            "staircase": st.booleans(),
            "schedule": st.sampled_from(["exponential", "cosine", "constant"]),
            "warmup_steps": st.integers(0, 10**6),
            "label_smoothing": st.floats(0, 1, exclude_max=True),
            "weight_decay": st.floats(0, 1),
        }
    ),
    train=st.fixed_dictionaries(
        {
            "epochs": st.integers(1, 10**6),
            "batch_size": st.integers(1, 10**6),
            "accumulate": st.just(1),
            "patience": st.integers(1, 10**6),
            "min_delta": st.floats(0, 1),
            "save_every_steps": st.none() | st.integers(1, 100),
            "precision": st.sampled_from(["float32", "bfloat16"]),
            "ema": st.none() | st.floats(0, 1, exclude_min=True, exclude_max=True),
        }
    ),
)


@given(config=configs)
def test_a_configuration_comes_back_from_its_toml_unchanged(tmp_path_factory, config):
    """So a run's config.toml repeats the run, whatever its values and folder names."""
    file = tmp_path_factory.getbasetemp() / "round-trip.toml"
    file.write_text(config.to_toml(), encoding="utf-8")
    assert resolve(file) == config


def test_a_raised_number_of_epochs_is_validated():
    """`with_train` takes what the user typed for --epochs."""
    assert RunConfig().with_train(epochs=5) == RunConfig(train={"epochs": 5})
    with pytest.raises(ValueError, match="greater than or equal to 1"):
        RunConfig().with_train(epochs=0)


def test_with_data_changes_nothing_else():
    """It fills in the folder and the image size that a run was started with."""
    changed = RunConfig(seed=3).with_data(dir=str(Path("x")), image_size=48)
    assert changed == RunConfig(seed=3, data={"dir": "x", "image_size": 48})


def test_a_batch_is_cut_into_equal_parts_or_not_at_all(tmp_path):
    """By a flag or by a file, before anything heavy is imported."""
    why = "accumulate 3 does not divide batches of 8: use a divisor of batch_size."
    flags = {"train.batch_size": ("--batch-size 8", 8), "train.accumulate": ("--accumulate 3", 3)}
    with pytest.raises(UsageError) as caught:
        resolve(None, flags)
    assert str(caught.value) == f"--batch-size 8, --accumulate 3: {why}"
    file = tmp_path / "own.toml"
    file.write_text("[train]\nbatch_size = 8\naccumulate = 3\n")
    with pytest.raises(ConfigError) as caught:
        resolve(file)
    assert str(caught.value) == f"{file}: train: {why}"
    assert resolve(None, {"train.accumulate": ("--accumulate 4", 4)}).train.part_size == 8


@pytest.mark.parametrize(
    ("given", "freeze"), [("none", "none"), (1, "1"), ("4", "4"), ("blocks", "backbone")]
)
def test_what_is_frozen_may_be_a_number_or_the_word_of_older_runs(given, freeze):
    """From a file or from --set."""
    model = ModelConfig(weights="x", freeze=given)
    assert (model.freeze, model.freezes) == (freeze, freeze != "none")


def test_the_head_on_a_frozen_backbone_is_linear_unless_another_is_asked_for():
    """In whatever way the backbone is frozen."""
    frozen = {"weights": "x", "freeze": "backbone"}
    heads = [ModelConfig(**{**frozen, **more}).head for more in ({}, {"head": "slim"})]
    assert [*heads, ModelConfig().head] == ["linear", "slim", "slim"]
