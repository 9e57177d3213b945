"""Recipes with what they are for.

Each begins with a comment of the fields `# Why:`, `# Command:` and `# Expect:`, of one line or
several.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from kvgg_jax.core.config_file import recipe_file, recipe_files
from kvgg_jax.core.errors import UsageError

_FIELD = re.compile(r"# (\w+): +")


@dataclass(frozen=True, slots=True)
class Recipe:
    """A configuration with a name, and the fields of its comment."""

    name: str
    why: str
    command: str
    expect: str
    file: Path


def recipes() -> list[Recipe]:
    """All recipes, by name."""
    return [_read(file) for file in recipe_files()]


def config_or_recipe(config: Path | None, recipe: str | None) -> Path | None:
    """The file that `--config` or `--recipe` names. Raises UsageError for both."""
    if config and recipe:
        raise UsageError("--config and --recipe exclude each other; choose one.")
    return recipe_file(recipe) if recipe else config


def _read(file: Path) -> Recipe:
    head = file.read_text(encoding="utf-8").partition("\n\n")[0]
    _, *parts = _FIELD.split(head)
    fields = {
        name.lower(): " ".join(text.replace("\n#", " ").split())
        for name, text in zip(parts[::2], parts[1::2], strict=True)
    }
    return Recipe(file.stem, fields["why"], fields["command"], fields["expect"], file)
