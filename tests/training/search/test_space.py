"""Spaces of settings: what may be written, and what is refused how."""

from __future__ import annotations

import pytest
import tomli_w

from kvgg_jax.core.config import RunConfig
from kvgg_jax.core.errors import ConfigError
from kvgg_jax.training.search.space import (
    DEFAULT_SPACE,
    Range,
    check_space,
    read_space,
    to_table,
    without,
)


def test_a_space_has_the_shape_of_a_configuration(tmp_path):
    """With choices or a range where a value would be; written and read it is the same."""
    file = tmp_path / "space.toml"
    file.write_text(
        "[optim]\nlr = {low = 1e-5, high = 1e-3, log = true}\n"
        '[model]\nhead = ["slim", "gap"]\n[train]\nepochs = {low = 5, high = 9}\n'
    )
    space = read_space(file)
    assert space == {
        "optim.lr": Range(1e-5, 1e-3, log=True),
        "model.head": ("slim", "gap"),
        "train.epochs": Range(5, 9),
    }
    assert [space[key].is_whole for key in ("optim.lr", "train.epochs")] == [False, True]
    file.write_text(tomli_w.dumps(to_table(space)))
    assert read_space(file) == space


def test_the_default_space_is_legal_beside_the_defaults():
    """Each choice and each bound."""
    check_space(DEFAULT_SPACE, RunConfig(), where="space")


def test_what_is_given_is_not_searched():
    """A key, or the whole table that `--set optim={...}` names."""
    space = {"optim.lr": (1e-3,), "optim.decay_rate": (0.9,), "model.head": ("gap",)}
    assert set(without(space, {"optim.lr"})) == {"optim.decay_rate", "model.head"}
    assert set(without(space, {"optim"})) == {"model.head"}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[optim]\nlrr = [1e-3]", "unknown key 'optim.lrr'. Did you mean 'optim.lr'?"),
        (
            "[optim]\nlr = 1e-3",
            "optim.lr: expected a list of choices, or a range such as "
            "{low = 1e-5, high = 1e-3, log = true}.",
        ),
        (
            "[optim]\nlr = []",
            "optim.lr: expected a list of choices, or a range such as "
            "{low = 1e-5, high = 1e-3, log = true}.",
        ),
        (
            "[optim.lr]\nlow = 1e-3\nhigh = 1e-5",
            "optim.lr: low and high are numbers, low the lower; log is true or not.",
        ),
        (
            "[model.dropout]\nlow = 0\nhigh = 0.5\nlog = true",
            "model.dropout: by factors (log = true) low must be above 0.",
        ),
    ],
)
def test_a_file_that_is_no_space_names_the_key(tmp_path, text, reason):
    """And itself."""
    file = tmp_path / "space.toml"
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        read_space(file)
    assert str(caught.value) == f"{file}: {reason}"


@pytest.mark.parametrize(
    ("space", "reason"),
    [
        ({}, "nothing is left to search; leave a setting open."),
        (
            {"data.val_split": (0.1, 0.2)},
            "data.val_split decides which photos a trial is validated on, which must be the same "
            "for all trials. Take it out of the space.",
        ),
        ({"optim.lr": Range(0, 1)}, "optim.lr = 0: input should be greater than 0."),
        (
            {"model.head": ("gap", "huge")},
            "model.head = 'huge': 'huge' is not a head: use full, slim, gap, linear, or layer "
            "sizes such as 256,128.",
        ),
    ],
)
def test_a_space_that_cannot_be_searched_is_refused_before_any_trial(space, reason):
    """Not when its turn comes, hours later."""
    with pytest.raises(ConfigError) as caught:
        check_space(space, RunConfig(), where="s.toml")
    assert str(caught.value) == f"s.toml: {reason}"
