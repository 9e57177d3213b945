"""Numbered folders, each there whole or not at all: the steps that a run has saved."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from kvgg_jax.core.files import flush
from kvgg_jax.runs import digests

KEPT = 2  # the newest step, and one to fall back on
UNFINISHED = (".saving", ".gone", ".orbax-checkpoint-tmp")  # endings of what a crash leaves


def steps(folder: Path) -> dict[int, int]:
    """Step -> inode, newest first by number; the inode tells a step from one written anew."""
    return {step: _inode(folder / str(step)) for step in sorted(_numbers(folder), reverse=True)}


def name(step: Path) -> str:
    """What tells a step from all others: its number and a part of its digest."""
    try:
        return f"{step.name}-{digests.identity(step)[:16]}"
    except OSError:  # removed since, by a run that is under way
        return f"{step.name}-gone"


def newest(folder: Path) -> str | None:
    """The `name` of the newest step in `folder`; None when there is none."""
    found = steps(folder)
    return name(folder / str(next(iter(found)))) if found else None


def prepare(final: Path) -> Path:
    """Where to write what `publish` is to call `final`."""
    if not final.parent.is_dir():
        final.parent.mkdir(parents=True)
        flush(final.parent.parent)
        flush(final.parent.parent.parent)
    return final.with_name(f"{final.name}.saving")


def publish(saving: Path, final: Path) -> None:
    """Seal `saving`, flush it to the disk, give it its name, and remove what it replaces.

    A step with a higher number goes too: the run has gone back to this one.
    """
    digests.seal(saving)
    if final.exists():
        _remove(final)
    saving.rename(final)
    flush(final.parent)
    numbers = _numbers(final.parent)
    kept = sorted(number for number in numbers if number <= int(final.name))[-KEPT:]
    for number in {*numbers} - {*kept}:
        _remove(final.with_name(str(number)))


def drop_newer(folder: Path, step: int) -> None:
    """Remove the steps of `folder` with a higher number than `step`."""
    for number in _numbers(folder):
        if number > step:
            _remove(folder / str(number))


def clear_up(folder: Path) -> None:
    """Remove what a crash during a save has left in the folders of `folder`."""
    for path in folder.glob("*/*"):
        if path.name.endswith(UNFINISHED):
            shutil.rmtree(path)


def _numbers(folder: Path) -> list[int]:
    if not os.path.isdir(folder):
        return []
    return [int(path.name) for path in folder.iterdir() if path.name.isdecimal()]


def _remove(step: Path) -> None:
    """By a rename first, so that a crash leaves no half of it under its name."""
    gone = step.with_name(f"{step.name}.gone")
    step.rename(gone)
    shutil.rmtree(gone)


def _inode(path: Path) -> int:
    try:
        return path.stat().st_ino
    except FileNotFoundError:  # removed since it was listed
        return 0
