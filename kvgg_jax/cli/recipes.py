"""Recipes: the configurations that come with the program, by name.

They are the files `configs/*.toml` of the repository, in the wheel `kvgg_jax/configs`. Each begins
with a comment of the fields `# Why:`, `# Command:` and `# Expect:`, of one line or several.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from pathlib import Path

from kvgg_jax.core.errors import UsageError

PACKAGE = Path(__file__).parents[1]
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
    return [_read(file) for file in _files()]


def recipe_file(name: str) -> Path:
    """The configuration file of a recipe. Raises UsageError for an unknown name."""
    files = {file.stem: file for file in _files()}
    if name in files:
        return files[name]
    close = difflib.get_close_matches(name, files, 1)
    hint = f"Did you mean {close[0]!r}? " if close else ""
    raise UsageError(
        f"--recipe {name}: no recipe has this name. {hint}Recipes: {', '.join(files)}."
    )


def config_or_recipe(config: Path | None, recipe: str | None) -> Path | None:
    """The file that `--config` or `--recipe` names. Raises UsageError for both."""
    if config and recipe:
        raise UsageError("--config and --recipe exclude each other; choose one.")
    return recipe_file(recipe) if recipe else config


def _files() -> list[Path]:
    """In the wheel inside the package, in a checkout beside it."""
    inside = PACKAGE / "configs"
    folder = inside if inside.is_dir() else PACKAGE.parent / "configs"
    return sorted(folder.glob("*.toml"))


def _read(file: Path) -> Recipe:
    head = file.read_text(encoding="utf-8").partition("\n\n")[0]
    _, *parts = _FIELD.split(head)
    fields = {
        name.lower(): " ".join(text.replace("\n#", " ").split())
        for name, text in zip(parts[::2], parts[1::2], strict=True)
    }
    return Recipe(file.stem, fields["why"], fields["command"], fields["expect"], file)
