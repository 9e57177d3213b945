"""What the shell offers after TAB: runs, config files, and the values of a setting.

Typer calls these with what was typed so far; they read only names and small files.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from glob import escape, glob
from pathlib import Path
from typing import Any

import typer

from kvgg_jax.core.settings import Setting

Offers = list[tuple[str, str]]
"""(value, one word about it) pairs; fish, zsh and PowerShell show the word."""


def words(*choices: str) -> Callable[[str], list[str]]:
    """A completion that offers these."""

    def offer(incomplete: str) -> list[str]:
        return [choice for choice in choices if choice.startswith(incomplete)]

    return offer


def of_setting(setting: Setting) -> Callable[..., Any] | None:
    """A completion for the values of a setting."""
    if setting.key == "model.weights":
        return weights
    if setting.is_list:
        return _several(setting.choices)
    return words(*setting.choices) if setting.choices else None


def _several(choices: Sequence[str]) -> Callable[[str], list[str]]:
    """A completion for several of them, with commas."""

    def offer(incomplete: str) -> list[str]:
        before, comma, last = incomplete.rpartition(",")
        left = [name for name in choices if name not in before.split(",")]
        offered = words(*left, *([] if comma else ["none"]))(last)
        return [f"{before}{comma}{name}" for name in offered]

    return offer


def runs(ctx: typer.Context, incomplete: str) -> Offers:
    """Runs in `--out` by name, with their status; by path after a `/`."""
    return _folders_with("run.json", ctx, incomplete)


def runs_and_folds(ctx: typer.Context, incomplete: str) -> Offers:
    """Runs, and cross-validations."""
    return [*runs(ctx, incomplete), *_folders_with("crossval.json", ctx, incomplete)]


def _folders_with(file: str, ctx: typer.Context, incomplete: str) -> Offers:
    is_path = "/" in incomplete
    typed = incomplete if is_path else f"{ctx.params.get('out') or 'runs'}/{incomplete}"
    found = [path.removesuffix(f"/{file}") for path in _files(typed, f"*/{file}")]
    return [(one if is_path else Path(one).name, _status(Path(one, file))) for one in found]


def _status(file: Path) -> str:
    """The status of a run, "damaged" where it cannot be read."""
    try:
        return str(json.loads(file.read_text())["status"])
    except (OSError, ValueError, RecursionError, TypeError, KeyError):
        return "damaged"


def folds_and_models(ctx: typer.Context, incomplete: str) -> Offers:
    """Runs, cross-validations, and ONNX files in the current or typed folder."""
    models = ((file, "ONNX file") for file in _files(incomplete, "*.onnx"))
    return [*runs_and_folds(ctx, incomplete), *models]


def weights(ctx: typer.Context, incomplete: str) -> Offers:
    """`imagenet` and runs; where neither fits, the shell offers files."""
    return [*((name, "of Keras") for name in words("imagenet")(incomplete)), *runs(ctx, incomplete)]


def recipes(incomplete: str) -> Offers:
    """Recipes, each with its purpose."""
    from kvgg_jax.cli.recipes import recipes as all_recipes

    return [(one.name, one.why) for one in all_recipes() if one.name.startswith(incomplete)]


def configs(incomplete: str) -> list[str]:
    """TOML files in the current or typed folder, and one folder below."""
    return [*_files(incomplete, "*.toml"), *_files(incomplete, "*/*.toml")]


def _files(typed: str, pattern: str) -> list[str]:
    return sorted(glob(escape(typed) + pattern))  # noqa: PTH207  # it keeps `./` as typed
