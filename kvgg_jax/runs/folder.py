"""A run folder: what is in it and how it is read. `catalog` makes and finds them.

runs/<name>/ config.toml classes.json split.csv digests.csv history.csv run.json curves.png
             samples.png checkpoints/best checkpoints/last
"""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, TextIO, TypeVar

from kvgg_jax.core.config import RunConfig
from kvgg_jax.core.config_file import resolve
from kvgg_jax.core.devices.hosts import is_main
from kvgg_jax.core.errors import RunError
from kvgg_jax.core.files import open_lines, read_text, write_bytes, write_text
from kvgg_jax.core.history import MONITORS, History, Monitor
from kvgg_jax.core.text import escape_name
from kvgg_jax.data.open_photos import source_of
from kvgg_jax.data.source import Source
from kvgg_jax.data.split import Split, split_from_csv
from kvgg_jax.runs.photo_digests import PhotoDigests

T = TypeVar("T")
MONITOR = "train.monitor"
FORMAT = 2
"""Of the run folder, in `run.json`."""
FIT = "fit.json"
"""What a folder of `fit` has for `run.json`: it is no run for the commands, without photos."""


def write_file(file: Path, content: str | bytes | Iterable[str]) -> None:
    """Replace a small file in one move; only the main process does. Raises RunError."""
    if not is_main():
        return
    try:
        write_bytes(file, content) if isinstance(content, bytes) else write_text(file, content)
    except OSError as error:
        raise RunError(f"Cannot write {escape_name(file)}: {error.strerror}.") from None


@dataclass(frozen=True, slots=True)
class Run:
    """One run folder; every read raises RunError when the file is missing or damaged."""

    path: Path
    about: str = "run.json"
    """The file that says what the run is."""

    @property
    def checkpoints(self) -> Path:
        """Folder that holds `best` and `last`."""
        return self.path / "checkpoints"

    @property
    def exists(self) -> bool:
        """Whether there is a run; never raises, as for a name too long."""
        return os.path.exists(self.path / "config.toml")

    @property
    def is_finished(self) -> bool:
        """Whether there is a run, and it needs no more training. Raises RunError."""
        return self.exists and self.info().get("status") == "finished"

    def write(self, name: str, text: str | Iterable[str]) -> None:
        """Replace one small file of the run in one move. Raises RunError when it cannot."""
        write_file(self.path / name, text)

    def read(self, name: str) -> str:
        """The text of one small file of the run."""
        try:
            return read_text(self.path / name)
        except OSError as error:
            raise self._unreadable(name, error) from None

    def _parse(self, name: str, parse: Callable[[str], T]) -> T:
        return self._parse_lines(name, lambda lines: parse(lines.read()))

    def _parse_lines(self, name: str, parse: Callable[[TextIO], T]) -> T:
        try:
            with open_lines(self.path / name) as lines:
                return parse(lines)
        except OSError as error:
            raise self._unreadable(name, error) from None
        except (ValueError, csv.Error, RecursionError) as error:
            raise RunError(f"{self.path / name} is damaged: {error}.") from None

    def _unreadable(self, name: str, error: OSError) -> RunError:
        return RunError(f"{self.path} has no readable {name}: {error.strerror}.")

    def check_format(self) -> None:
        """Raises RunError for a folder of another format than `FORMAT`."""
        number, versions = self.info().get("format", 1), self.info().get("versions")
        if number != FORMAT:
            by = versions.get("kvgg_jax") if isinstance(versions, dict) else None
            raise RunError(
                f"{self.path} has format {number}, written by kvgg_jax {by}; this version reads "
                f"format {FORMAT} alone. Use that version, or train again."
            )

    def config(self) -> RunConfig:
        """The complete configuration the run was started with."""
        self.read("config.toml")
        self.check_format()
        config = resolve(self.path / "config.toml", errors="surrogateescape")
        if config.data.image_size is None or config.data.dir is None:
            raise RunError(
                f"{self.path / 'config.toml'} is damaged: data.dir and data.image_size must be set."
            )
        return config

    def classes(self) -> tuple[str, ...]:
        """Class names, in the order of the network's outputs."""
        return self._parse("classes.json", _class_names)

    def read_digests(self) -> PhotoDigests:
        """The photos when the run began."""
        return self._parse_lines("digests.csv", PhotoDigests.read)

    def history(self) -> History:
        """The epochs so far; empty before the first has ended."""
        info = self.info() if (self.path / self.about).exists() else {}
        monitor: Monitor = info.get("settings", {}).get(MONITOR, MONITORS[0])
        if not (self.path / "history.csv").exists():
            return History(monitor=monitor)
        return self._parse("history.csv", lambda text: History.from_csv(text, monitor))

    def split(self, source: Source | None = None) -> Split:
        """The split that the run began with; the photos are in `source`, or where they were."""
        source = source or source_of(self.config().data)
        classes, given = self.classes(), bool(self.info().get("data", {}).get("given"))
        return self._parse_lines(
            "split.csv",
            lambda lines: split_from_csv(lines, source=source, classes=classes, given=given),
        )

    def info(self) -> dict[str, Any]:
        """`run.json`: status, versions, device, data fingerprint, times."""
        return self._parse(self.about, _info)

    def id(self) -> object:
        """What tells the run from all others; None for one of the time before there were any."""
        return self.info().get("id")

    def created(self) -> float:
        """When, in seconds since 1970; 0 where `run.json` does not say."""
        try:
            return datetime.fromisoformat(str(self.info().get("created"))).timestamp()
        except ValueError:
            return 0.0

    def split_digest(self) -> object:
        """What tells its split from others: a digest of `split.csv`."""
        return self.info().get("data", {}).get("split")

    def update_info(self, **changes: Any) -> None:
        """Replace fields of `run.json`."""
        self.write(self.about, json.dumps({**self.info(), **changes}, indent=2) + "\n")


def _class_names(text: str) -> tuple[str, ...]:
    names = json.loads(text)
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError("expected a list of names")
    if names != sorted(set(names)):
        raise ValueError("the names are not sorted, so they would be assigned to the wrong outputs")
    return tuple(names)


def _info(text: str) -> dict[str, Any]:
    info = json.loads(text)
    if not isinstance(info, dict) or not all(
        isinstance(info.get(part, {}), dict) for part in ("data", "settings", "custom", "plan")
    ):
        raise ValueError("expected an object")
    if (monitor := info.get("settings", {}).get(MONITOR, MONITORS[0])) not in MONITORS:
        raise ValueError(f"{MONITOR} is {monitor!r}, not one of {', '.join(MONITORS)}")
    return info
