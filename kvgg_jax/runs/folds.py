"""The runs of a cross-validation, as `crossval` leaves them in one folder."""

from __future__ import annotations

import json
import os
from pathlib import Path

from kvgg_jax.core.errors import RunError
from kvgg_jax.core.text import escape_name
from kvgg_jax.runs.folder import Run

FILE = "crossval.json"
REPEAT = "Repeat its kvgg crossval command, which resumes."


def find_crossval(run: str | Path, *, out: Path) -> Path | None:
    """The folder of a cross-validation, by its path or its name inside `out`; None for a run, and
    for what is not there."""
    for path in (Path(run), out / run):
        if Run(path).exists:
            return None
        if is_crossval(path):
            return path
    return None


def is_crossval(path: Path) -> bool:
    """Whether a folder is that of a cross-validation, be it unfinished; never raises."""
    return any(os.path.exists(path / name) for name in (FILE, "fold-1/config.toml"))


def read_folds(path: Path) -> list[Run]:
    """The runs of a finished cross-validation, the first fold first.

    Raises RunError for a folder that is none, is damaged, or lacks a fold; it says what to do.
    """
    name = escape_name(path)
    try:
        found = json.loads((path / FILE).read_text())
        status, count = found["status"], len(found["folds"])
    except OSError:
        raise RunError(f"{name} has no {FILE}: its folds were not collected. {REPEAT}") from None
    except (ValueError, TypeError, KeyError, RecursionError):
        raise RunError(f"{name}/{FILE} is damaged. {REPEAT}") from None
    if status != "finished":
        raise RunError(f"{name} is unfinished: {count} folds are done. {REPEAT}")
    folds = [Run(path / f"fold-{number}") for number in range(1, count + 1)]
    if not folds:
        raise RunError(f"{name}/{FILE} is damaged. {REPEAT}")
    for fold in folds:
        if not fold.is_finished:
            what = "is unfinished" if fold.exists else "is missing"
            raise RunError(f"{escape_name(fold.path)} {what}. {REPEAT}")
    return folds
