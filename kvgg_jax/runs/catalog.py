"""Run folders in `--out`: how they are named, made, found and ordered."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from kvgg_jax.core.config import RunConfig
from kvgg_jax.core.errors import RunError, UsageError
from kvgg_jax.core.events import Emit, Note
from kvgg_jax.core.files import flush
from kvgg_jax.core.tables.architectures import short
from kvgg_jax.core.text import escape_name
from kvgg_jax.runs.folder import FIT, Run
from kvgg_jax.runs.lock import lock_file, locked

OUT = Path("runs")
COMPARISON, LR_FIND = CHARTS = ("comparison.png", "lr_find.png")  # written beside the runs
BRACKET = "checkpoints in a folder whose path has a [ could not be read again."  # by Orbax
NAMED = 5  # runs in one message
NAME = 200  # bytes of a run's name: file systems allow 255, and files beside it have longer ones


def choose(
    config: RunConfig,
    *,
    out: Path = OUT,
    name: str | None = None,
    overwrite: bool = False,
    now: datetime | None = None,
) -> Path:
    """The folder of a new run, before the long work. Nothing of an old run is removed yet.

    Raises RunError when it exists or cannot be written, UsageError for a name that is not that of
    a folder in `out`: the run could not be found by it.
    """
    check_name(name)
    check_writable(out)
    path = out / (name or _free_name(out, config, now or datetime.now()))
    finish_overwrite(path)
    if not _is_taken(path):
        return path
    if not overwrite:
        raise RunError(
            f"{path} already exists. Choose another --name, continue it with "
            f"--resume {path}, or replace it with --overwrite."
        )
    _check_replaceable(path)
    return path


def _check_replaceable(path: Path) -> None:
    if path.is_symlink() or not os.path.isfile(path / "config.toml"):
        raise RunError(f"{path} is not a run folder, so --overwrite does not replace it.")


def check_name(name: str | None) -> None:
    """Raises UsageError for a name that is not that of a folder in `--out`, or is taken by kvgg."""
    if name and len(os.fsencode(name)) > NAME:
        raise UsageError(f"--name {name[:20]}...: a run name has at most {NAME} bytes.")
    if name and (Path(name).name != name or name == ".." or not name.strip()):
        raise UsageError(
            f"--name {name}: a run name is one folder name. Choose its parent folder with --out."
        )
    if name and "[" in name:
        raise UsageError(f"--name {name}: {BRACKET} Choose another name.")
    if name and (name.startswith(".") or name in CHARTS):
        raise UsageError(
            f"--name {name}: kvgg uses this name for files of its own. Choose another, without a "
            "dot at its start."
        )


def _is_taken(path: Path) -> bool:
    try:
        return os.path.isfile(path) or (os.path.isdir(path) and any(path.iterdir()))
    except OSError:  # it may not be looked into
        return True


def create(
    path: Path,
    config: RunConfig,
    files: Mapping[str, str | Iterable[str]],
    *,
    overwrite: bool = False,
) -> Run:
    """Make the folder that `choose` gave, with these files; `overwrite` removes an old run.

    Raises RunError when it cannot be written, or when another run has taken it meanwhile.
    """
    if _is_taken(path):  # photos were read since `choose` looked
        if not overwrite:
            raise RunError(f"{path} was just created by another run. Choose another --name.")
        _check_replaceable(path)
    new, old = Run(path.with_name(f".{path.name}.new")), _set_aside(path)
    try:
        shutil.rmtree(new.path, ignore_errors=not new.path.exists())
        new.path.mkdir(parents=True)
        for file, text in {**files, "config.toml": config.to_toml()}.items():
            new.write(file, text)
        if _is_taken(path):
            path.replace(old)  # removed once the new run has its place
        new.path.replace(path)  # so that there is a whole run or none
        flush(path.parent)
        shutil.rmtree(old, ignore_errors=True)
    except OSError as error:
        if old.exists() and not path.exists():
            old.replace(path)
        raise RunError(_not_writable(path, error)) from None
    return Run(path)


def finish_overwrite(path: Path) -> None:
    """Clean up after an --overwrite that was killed: the old run gets its name back, or is removed
    where the new one has it. Raises RunError where another process uses the run."""
    if not path.name or not os.path.exists(old := _set_aside(path)):
        return
    with locked(path):
        try:
            if Run(path).exists:
                shutil.rmtree(old)
            elif old.exists():  # nobody has mended it meanwhile
                old.replace(path)
        except OSError as error:
            raise RunError(_not_writable(old, error)) from None


def _set_aside(path: Path) -> Path:
    """Where a run is kept while another one takes its place."""
    return path.with_name(f".{path.name}.old")


def check_writable(out: Path) -> None:
    """Fail before the long work when `out` cannot take a run. Raises RunError."""
    if "[" in str(out.absolute()):
        raise RunError(f"{out.absolute()}: {BRACKET} Choose another folder with --out.")
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out):
            pass
    except OSError as error:
        raise RunError(_not_writable(out, error)) from None


def _not_writable(path: Path, error: OSError) -> str:
    return f"Cannot write to {path}: {error.strerror}. Choose another folder with --out."


def network_name(config: RunConfig) -> str:
    """For a folder: `"vgg16-slim"`, `"vgg11-256-128"`."""
    return f"{short(config.model.arch)}-{config.model.head.replace(',', '-').replace(' ', '')}"


def _free_name(out: Path, config: RunConfig, now: datetime) -> str:
    """Date, architecture, head; `-2`, `-3` ... when a run of today has that name."""
    base = f"{now:%Y-%m-%d}-{network_name(config)}"
    name, number = base, 1
    while (out / name).exists() or lock_file(out / name).exists():
        number += 1
        name = f"{base}-{number}"
    return name


def find(run: str | Path | None = None, *, out: Path = OUT, status: str = "finished") -> Run:
    """A run by folder, by name inside `out`, or (None) the newest one of that status.

    Raises RunError saying what was looked for and where.
    """
    if run is not None:
        for path in (Path(run), out / run):
            if not Run(path).exists:
                finish_overwrite(path)
            if Run(path).exists:
                return Run(path)
            _check_may_be_used(path)
        raise RunError(f"No run at {run} or {out / run}. {_runs_there(out)}")
    for old in out.glob(".*.old"):
        with contextlib.suppress(RunError):  # the others can be found all the same
            finish_overwrite(out / old.name[1:-4])
    found = [one for one in _all(out) if _info(one).get("status") == status]
    if not found:
        for damaged in _all(out):
            damaged.info()  # names the file, where a damaged run is the reason
        raise RunError(f"No {status} run in {out}. {_runs_there(out)}")
    return max(found, key=_age)


def tell_newest(run: object, path: Path, emit: Emit) -> None:
    """A Note event on which run, at `path`, was taken where none was named: `run` is None."""
    if run is None:
        emit(Note(f"Using {path}, the newest finished run"))


def _check_may_be_used(path: Path) -> None:
    """Raises RunError for a folder of `fit`, of a cross-validation, or of another user, of which no
    more can be known."""
    if os.path.exists(path / "fold-1" / "config.toml"):
        raise RunError(
            f"{path} is a cross-validation, and only predict, evaluate and serve take all of its "
            f"folds. Name one of them: {path / 'fold-1'}"
        )
    if os.path.exists(path / FIT):
        raise RunError(
            f"{path} was written by kvgg_jax.fit, for a network and batches of your own. Commands "
            "need a run of kvgg train; call fit with this folder again to have its best weights."
        )
    try:
        (path / "config.toml").stat()
    except PermissionError as error:
        raise RunError(f"Cannot open {path}: {error.strerror}.") from None
    except OSError:
        return  # it is no run folder


def ordered(out: Path) -> list[Run]:
    """All runs in `out`, the oldest first, as `find` takes the newest; damaged ones come first."""
    return sorted(_all(out), key=_age)


def next_number(out: Path) -> int:
    """Of a new run in `out`: runs are ordered by it, since a clock may be set back."""
    return 1 + max((_age(run)[0] for run in _all(out)), default=0)


def _age(run: Run) -> tuple[int, float, str]:
    """What orders runs: number, then the moment, then the name; a damaged run comes first."""
    info = _info(run)
    number = info.get("number")
    return number if isinstance(number, int) else 0, run.created() if info else 0.0, run.path.name


def _info(run: Run) -> dict[str, Any]:
    """Nothing for a damaged run: the others are found all the same."""
    try:
        return run.info()
    except RunError:
        return {}


def _all(out: Path) -> list[Run]:
    return [Run(path.parent) for path in sorted(out.glob("[!.]*/run.json"))]


def _runs_there(out: Path) -> str:
    names = [escape_name(run.path.name) for run in _all(out)]
    if not names:
        return "Train one first: kvgg train --data DIR."
    more = ", ..." if len(names) > NAMED else ""
    return f"Runs there: {', '.join(names[-NAMED:])}{more}. Use one of them; kvgg runs lists all."
