"""Recipes: the configurations that come with the program, by name.

They are `configs/*.toml` of the repository, which the wheel has as `kvgg_jax/configs`. Each opens
with a comment of fields, `# Why:`, `# Command:` and `# Expect:`, that may go on over lines.
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
    """A configuration with a name, and what its file says of it."""

    name: str
    why: str
    command: str
    expect: str
    file: Path


def recipes() -> list[Recipe]:
    """All there are, by name."""
    return [_read(file) for file in sorted(_folder().glob("*.toml"))]


def recipe_file(name: str) -> Path:
    """The configuration file of a recipe. Raises UsageError for a name that none has."""
    files = {file.stem: file for file in sorted(_folder().glob("*.toml"))}
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


def _folder() -> Path:
    """In the wheel inside the package, in a checkout beside it."""
    inside = PACKAGE / "configs"
    return inside if inside.is_dir() else PACKAGE.parent / "configs"


def _read(file: Path) -> Recipe:
    head = file.read_text(encoding="utf-8").partition("\n\n")[0]
    _, *parts = _FIELD.split(head)
    said = {
        name.lower(): " ".join(text.replace("\n#", " ").split())
        for name, text in zip(parts[::2], parts[1::2], strict=True)
    }
    return Recipe(file.stem, said["why"], said["command"], said["expect"], file)
