"""Recipes: found by name in a checkout and in the wheel, and taken wherever `--config` is."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from kvgg_jax.cli import recipes
from kvgg_jax.cli.recipes import Recipe
from kvgg_jax.core import config_file
from kvgg_jax.core.config_file import recipe_file
from support.commands import kvgg, message
from support.runs import ROOT

NAMES = [
    *("coffee-full", "coffee-slim", "fast", "finetune", "quick", "transfer"),
    *("writeup-full", "writeup-slim"),
]


def test_each_config_of_the_repository_is_a_recipe() -> None:
    """By the name of its file."""
    assert [one.name for one in recipes.recipes()] == NAMES
    assert recipe_file("fast") == ROOT / "configs" / "fast.toml"


def test_the_wheel_brings_them_inside_the_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where `pyproject.toml` puts them; then the folder beside the package is not used."""
    package = tmp_path / "kvgg_jax"
    shutil.copytree(ROOT / "configs", package / "configs")
    monkeypatch.setattr(config_file, "PACKAGE", package)
    assert recipe_file("quick") == package / "configs" / "quick.toml"


def test_the_comment_at_the_head_says_what_a_recipe_is_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A field may have several lines; a later comment is not part of it."""
    head = "# Why:     a reason.\n# Command: kvgg train\n# Expect:  0.9 in\n#          an hour.\n"
    file = tmp_path / "configs" / "mine.toml"
    file.parent.mkdir()
    file.write_text(f"{head}\n# Not: this\nseed = 1\n")
    monkeypatch.setattr(config_file, "PACKAGE", tmp_path)
    expected = Recipe("mine", "a reason.", "kvgg train", "0.9 in an hour.", file)
    assert recipes.recipes() == [expected]


def test_recipes_are_listed() -> None:
    """With why and what to expect, as text and as JSON."""
    found = json.loads(kvgg("recipes", "--json").stdout)["recipes"]
    assert [one["name"] for one in found] == NAMES
    assert {tuple(sorted(one)) for one in found} == {("command", "expect", "file", "name", "why")}
    text = " ".join(kvgg("recipes").stdout.split())
    for one in found:
        assert f"{one['name']} Why: {one['why']} Expect: {one['expect']}" in text


@pytest.mark.parametrize(
    "command", ["train", "crossval", "tune", "lr-find", "bench", "summary", "data check"]
)
def test_an_unknown_recipe_is_answered_with_the_nearest(command: str) -> None:
    """Wherever a config is taken."""
    folder = ["photos"] if command == "data check" else []
    result = kvgg(*command.split(), *folder, "--recipe", "fats")
    assert (result.exit_code, message(result)) == (
        2,
        f"Error: No recipe is called fats. Did you mean 'fast'? Recipes: {', '.join(NAMES)}.\n",
    )


def test_a_recipe_is_a_config_by_name() -> None:
    """Flags win over it, and it goes with no config."""
    config = ROOT / "configs" / "fast.toml"
    by_name, by_file = (
        kvgg("summary", "--json", *what).stdout
        for what in (("--recipe", "fast"), ("--config", config))
    )
    assert by_name == by_file
    assert "fc1" not in by_name
    assert "fc1" in kvgg("summary", "--json", "--recipe", "fast", "--head", "slim").stdout
    both = kvgg("summary", "--recipe", "fast", "--config", config)
    assert (both.exit_code, message(both)) == (
        2,
        "Error: --config and --recipe exclude each other; choose one.\n",
    )


def test_a_resumed_run_takes_no_recipe() -> None:
    """It has its own settings."""
    result = kvgg("train", "--resume", "x", "--recipe", "fast")
    assert message(result) == (
        "Error: --resume keeps the settings of the run; --recipe cannot change them. "
        "Only --epochs can be raised, and --track, --devices and --shard changed.\n"
    )
