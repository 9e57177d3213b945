"""A run folder: what is in it, how it is made, found and read.

runs/<name>/ config.toml classes.json split.csv history.csv run.json curves.png samples.png
             checkpoints/best checkpoints/last
"""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from kvgg_jax.config import RunConfig, resolve
from kvgg_jax.data.folder import Split, split_from_csv, split_to_csv
from kvgg_jax.errors import RunError
from kvgg_jax.history import History

OUT = Path("runs")


@dataclass(frozen=True, slots=True)
class Run:
    """One run folder; every read raises RunError when the file is missing or damaged."""

    path: Path

    @property
    def checkpoints(self) -> Path:
        """Folder that holds `best` and `last`."""
        return self.path / "checkpoints"

    def write(self, name: str, text: str) -> None:
        """Replace one small file of the run in one move. Raises RunError when it cannot."""
        try:
            write_text(self.path / name, text)
        except OSError as error:
            raise RunError(f"Cannot write {self.path / name}: {error.strerror}.") from None

    def _read(self, name: str) -> str:
        try:
            with (self.path / name).open(
                encoding="utf-8", errors="surrogateescape", newline=""
            ) as file:  # newline="": a file name may hold a carriage return
                return file.read()
        except OSError as error:
            raise RunError(f"{self.path} has no readable {name}: {error.strerror}.") from None

    def config(self) -> RunConfig:
        """The complete configuration the run was started with."""
        self._read("config.toml")
        return resolve(self.path / "config.toml")

    def classes(self) -> tuple[str, ...]:
        """Class names, in the order of the network's outputs."""
        try:
            names = json.loads(self._read("classes.json"))
        except json.JSONDecodeError as error:
            raise RunError(f"{self.path / 'classes.json'} is damaged: {error}.") from None
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise RunError(f"{self.path / 'classes.json'} is damaged: expected a list of names.")
        return tuple(names)

    def history(self) -> History:
        """The epochs so far; empty before the first has ended."""
        if not (self.path / "history.csv").exists():
            return History()
        try:
            return History.from_csv(self._read("history.csv"))
        except ValueError as error:
            raise RunError(f"{self.path / 'history.csv'} is damaged: {error}.") from None

    def split(self, root: Path) -> Split:
        """The split as dealt when the run began; paths are relative to `root`."""
        try:
            return split_from_csv(self._read("split.csv"), root=root, classes=self.classes())
        except ValueError as error:
            raise RunError(f"{self.path / 'split.csv'} is damaged: {error}.") from None

    def info(self) -> dict[str, Any]:
        """`run.json`: status, versions, device, data fingerprint, times."""
        try:
            info = json.loads(self._read("run.json"))
        except json.JSONDecodeError as error:
            raise RunError(f"{self.path / 'run.json'} is damaged: {error}.") from None
        if not isinstance(info, dict):
            raise RunError(f"{self.path / 'run.json'} is damaged: expected an object.")
        return info

    def update_info(self, **changes: Any) -> None:
        """Replace fields of `run.json`."""
        self.write("run.json", json.dumps({**self.info(), **changes}, indent=2) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write a file so that a reader sees the old text or the new, never a part."""
    temporary = path.with_name(f".{path.name}.tmp")
    with temporary.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def choose(
    config: RunConfig,
    *,
    out: Path = OUT,
    name: str | None = None,
    overwrite: bool = False,
    now: datetime | None = None,
) -> Path:
    """The folder of a new run, before the long work: free, and in a place that can be written.

    Nothing of an old run is removed yet. Raises RunError when it exists or cannot be written.
    """
    check_writable(out)
    path = out / (name or _free_name(out, config, now or datetime.now()))
    if not _is_taken(path):
        return path
    if not overwrite:
        raise RunError(
            f"{path} already exists. Choose another --name, continue it with "
            f"--resume {path}, or replace it with --overwrite."
        )
    if not (path / "config.toml").is_file():
        raise RunError(f"{path} is not a run folder, so --overwrite leaves it alone.")
    return path


def _is_taken(path: Path) -> bool:
    return path.is_file() or (path.is_dir() and any(path.iterdir()))


def create(
    path: Path, config: RunConfig, split: Split, info: dict[str, Any], *, overwrite: bool = False
) -> Run:
    """Make the folder that `choose` gave, with `overwrite` in place of an old run.

    Raises RunError when it cannot be written, or when another run has taken it meanwhile.
    """
    run = Run(path)
    if _is_taken(path) and not overwrite:
        raise RunError(f"{path} was taken by another run meanwhile. Choose another --name.")
    try:
        if _is_taken(path):
            shutil.rmtree(path)
        path.mkdir(parents=True, exist_ok=True)
        run.write("classes.json", json.dumps(split.train.classes, ensure_ascii=False) + "\n")
        run.write("split.csv", split_to_csv(split))
        run.write("run.json", json.dumps(info, indent=2) + "\n")
        run.write("config.toml", config.to_toml())
    except OSError as error:
        raise RunError(_not_writable(path, error)) from None
    return run


def check_writable(out: Path) -> None:
    """Fail before the long work when `out` cannot take a run. Raises RunError."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        probe = out / f".probe-{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise RunError(_not_writable(out, error)) from None


def _not_writable(path: Path, error: OSError) -> str:
    return f"Cannot write to {path}: {error.strerror}. Choose another folder with --out."


def _free_name(out: Path, config: RunConfig, now: datetime) -> str:
    """Date, architecture, head; `-2`, `-3` ... when a run of today has that name."""
    head = config.model.head.replace(",", "-").replace(" ", "")
    base = f"{now:%Y-%m-%d}-{config.model.arch}-{head}"
    name, number = base, 1
    while (out / name).exists():
        number += 1
        name = f"{base}-{number}"
    return name


def find(run: str | Path | None = None, *, out: Path = OUT, status: str | None = "finished") -> Run:
    """A run by folder, by name inside `out`, or (None) the newest one of that status.

    Raises RunError saying what was looked for and where.
    """
    if run is not None:
        for path in (Path(run), out / run):
            if (path / "config.toml").is_file():
                return Run(path)
        raise RunError(f"No run at {run} or {out / run}. {_runs_there(out)}")
    found = [r for r in _all(out) if status is None or _status(r) == status]
    if not found:
        for damaged in _all(out):
            damaged.info()  # names the file, where a damaged run is the reason
        raise RunError(f"No {status or 'started'} run in {out}. {_runs_there(out)}")
    return max(found, key=lambda r: (str(r.info().get("created")), r.path.name))


def _status(run: Run) -> object:
    """None for a damaged run: it must not stand in the way of the others."""
    try:
        return run.info().get("status")
    except RunError:
        return None


def _all(out: Path) -> list[Run]:
    return [Run(path.parent) for path in sorted(out.glob("*/run.json"))]


def _runs_there(out: Path) -> str:
    names = [run.path.name for run in _all(out)]
    if not names:
        return "Train one first: kvgg train --data DIR."
    return f"Runs there: {', '.join(names[-5:])}. Choose one with --run."
