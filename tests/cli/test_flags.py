"""Settings in messages: the library names keys, the command shows flags."""

from __future__ import annotations

from pathlib import Path

import pytest

from kvgg_jax.cli.flags import as_flags
from kvgg_jax.core.config import SETTINGS
from support.commands import kvgg, message
from support.runs import draw_photos


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Raise `train.epochs`.", "Raise --epochs."),
        ("`train.epochs = 5`: too few", "--epochs 5: too few"),
        ("the same `seed` and `data.split`", "the same --seed and --split"),
        ("Try `model.batch_norm = true`.", "Try --batch-norm."),
        ("Try `model.batch_norm = false`.", "Try --no-batch-norm."),
        ("`model.weights = a b/c.h5` is gone", "--weights a b/c.h5 is gone"),
        ("`optim.decay_steps = 5`", "--set optim.decay_steps=5"),
        ("see `optim.decay_steps`", "see `optim.decay_steps`"),
        ("my.toml: train.epochs = 0: no", "my.toml: train.epochs = 0: no"),
        ("`train.epoch` and `best`", "`train.epoch` and `best`"),
    ],
)
def test_a_setting_that_is_named_becomes_its_flag(text: str, expected: str) -> None:
    """Only in backticks: a key of a config file stays a key."""
    assert as_flags(text) == expected


@pytest.mark.parametrize("key", SETTINGS)
def test_every_setting_can_be_named_in_a_message(key: str) -> None:
    """Also one that is new."""
    assert as_flags(f"Change `{key}`.") == f"Change {SETTINGS[key].flag or f'`{key}`'}."


def test_an_error_of_the_library_is_shown_with_flags(tmp_path: Path) -> None:
    """The same error from Python names `train.batch_size`."""
    photos = draw_photos(tmp_path / "photos", per_class=3)
    result = kvgg("train", "--data", photos, "--out", tmp_path / "runs", "--image-size", "32")
    assert (result.exit_code, message(result).splitlines()[-1]) == (
        1,
        "Error: --batch-size 32 is larger than the training set (8 images in "
        f"{photos}). Choose 8 or less.",
    )
