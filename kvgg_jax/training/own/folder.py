"""The folder of `fit`: made, locked, and compared with what it was started with.

It has what a run has, but `fit.json` for `run.json`, and nothing about photos: no command finds it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kvgg_jax.core.errors import RunError, UsageError
from kvgg_jax.core.events import Emit, Warned
from kvgg_jax.runs.folder import FIT, Run
from kvgg_jax.runs.lock import locked
from kvgg_jax.runs.manifest import differences, refuse


def started_with(run: Run, epochs: int) -> dict[str, Any]:
    """What `fit.json` has; empty for a new folder. Raises RunError, UsageError for fewer epochs."""
    if not os.path.exists(run.path / FIT):
        return {}
    run.check_format()
    known = run.info()
    before = known.get("settings", {}).get("epochs", 0)
    if epochs < before:
        raise UsageError(
            f"`epochs = {epochs}`: {run.path} was started for {before} epochs, which can only be "
            "raised."
        )
    return known


def check_same(run: Run, known: dict[str, Any], info: dict[str, Any], emit: Emit) -> None:
    """Raises RunError where a resume would be another run; notes more epochs."""
    refuse(
        f"{run.path} was not started with this:",
        differences(known.get("settings", {}), info["settings"], {"epochs"}),
        "Give it what it started with, or choose another folder.",
    )
    if known.get("data") != info["data"]:
        emit(
            Warned(
                f"The first batch of `train` is not the one that {run.path} was started with, so "
                "this is not an exact resume: the data has changed, or its order is random."
            )
        )
    if known["settings"] != info["settings"]:
        run.update_info(status="unfinished", settings=info["settings"])


@contextmanager
def held(run: Run) -> Iterator[Callable[[dict[str, Any]], None]]:
    """Lock the folder, which need not exist: what is given makes it, with its `fit.json`.

    Raises RunError where it has other files, is in use, or cannot be written.
    """
    path = run.path
    try:
        is_new = not os.path.exists(path / FIT)
        if is_new and path.exists() and any(path.iterdir()):
            raise RunError(f"{path} is not a folder of fit, and not empty: choose another one.")
        path.absolute().parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _not_writable(path, error) from None
    with locked(path) as hold_inside:

        def create(info: dict[str, Any]) -> None:
            try:
                path.mkdir(exist_ok=True)
            except OSError as error:
                raise _not_writable(path, error) from None
            run.write(FIT, json.dumps(info, indent=2) + "\n")
            hold_inside()

        yield create


def _not_writable(path: Path, error: OSError) -> RunError:
    return RunError(f"Cannot write to {path}: {error.strerror}. Choose another folder.")
