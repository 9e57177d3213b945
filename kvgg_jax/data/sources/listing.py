"""A list of photos: CSV, JSON lines or Parquet, with a class for each and what else is known."""

from __future__ import annotations

import csv
import io
import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kvgg_jax.core.errors import DataError
from kvgg_jax.core.extras import require
from kvgg_jax.core.places import Place, Url
from kvgg_jax.core.text import escape_name
from kvgg_jax.data.samples import Part, Samples
from kvgg_jax.data.sources.folder import NAMES, Files
from kvgg_jax.data.sources.remote import RemoteFiles, fetch

SUFFIXES = (".csv", ".jsonl", ".parquet")
NAMED = 3  # faults in one message
COLUMNS = ("path", "label", "class", "part", "group", "weight")
EXPECTED = "Expected the columns path and label, and if they are known part, group and weight."

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Listed:
    """The files that a list names; the key of each is its path below `root`."""

    root: Place
    list: Place

    def list_keys(self) -> Sequence[str]:
        """Those in the list now. Raises DataError."""
        return scan_list(self.list, self.root, to_train=False).paths

    def name(self, key: str) -> str:
        """Its path with `root`."""
        return str(self.root / key)

    def read(self, key: str) -> bytes:
        """The content of the file. Raises ImageError, and DataError where nothing answers."""
        return _files(self.root).read(key)


def _files(root: Place) -> Files | RemoteFiles:
    return RemoteFiles(root) if isinstance(root, Url) else Files(root)


def is_list(path: object) -> bool:
    """Whether the name of a file is that of a list."""
    return str(path).lower().endswith(SUFFIXES)


def scan_list(file: Place, root: Place | None = None, *, to_train: bool = True) -> Samples:
    """The photos that `file` lists, in its order; paths start from `root`, or the list's folder.

    Columns: `path`; `label` or `class`; and where they are known `part` (train, val or test),
    `group` and `weight`, above 0. The classes are sorted. `split.csv` of a run is such a list.
    Raises DataError naming the lines at fault; without `to_train`, one class is enough. Whether a
    file is there is looked up on this machine only; elsewhere, reading it tells.
    """
    root = (root or file.parent).absolute()
    table = _Table(file, list(_rows(file)))
    paths, labels = table.paths(root), table.labels()
    classes = tuple(sorted(set(labels)))
    if to_train and len(classes) == 1:
        raise DataError(
            f"{escape_name(file)} has photos of 1 class ({classes[0]!r}); a classifier needs 2."
        )
    places = {name: label for label, name in enumerate(classes)}
    return Samples(
        Listed(root, file),
        tuple(paths),
        tuple(places[name] for name in labels),
        classes,
        parts=table.parts(),
        groups=table.groups(),
        weights=table.weights(),
    )


class _Table:
    """The rows of a list, each with the number of its line, as columns that are checked."""

    def __init__(self, file: Place, rows: list[tuple[int, Row]]) -> None:
        self._file, self._rows = file, rows
        if not rows:
            raise DataError(f"{escape_name(file)} lists no photos. {EXPECTED}")
        names = set(rows[0][1])
        self._label = "label" if "label" in names else "class"
        if not {"path", self._label} <= names:
            found = ", ".join(map(escape_name, rows[0][1]))
            raise DataError(f"{escape_name(file)} has the columns {found}. {EXPECTED}")
        self._names = names

    def paths(self, root: Place) -> list[str]:
        """Each as a path below `root`."""
        lines: dict[str, int] = {}
        faults = []
        for line, text in self._column("path"):
            key = _below(root, text) if text else ""
            if not text:
                faults.append((line, "has no path"))
            elif key.split("/")[0] == "..":
                faults.append((line, f"{escape_name(text)} is not below {escape_name(root)}"))
            elif key in lines:
                faults.append((line, f"{escape_name(text)} is in line {lines[key]} already"))
            elif isinstance(root, Path) and not os.path.isfile(root / key):
                faults.append((line, f"{escape_name(text)} is not a file"))
            lines.setdefault(key, line)
        start = f"Paths start from {escape_name(root)}. To start elsewhere: `data.root = DIR`."
        self._refuse(faults, start)
        return list(lines)

    def labels(self) -> list[str]:
        """The name of the class of each."""
        first: dict[str, tuple[int, str]] = {}
        faults = []
        for line, text in self._column(self._label):
            at, spelled = first.setdefault("".join(text.split()).casefold(), (line, text))
            if not text.strip():
                faults.append((line, "has no label"))
            elif text != spelled:
                other = f"{spelled!r} in line {at}"
                faults.append((line, f"the label {text!r} differs from {other} in case or spaces"))
        self._refuse(faults, "Each class needs one spelling.")
        return [text for _, text in self._column(self._label)]

    def parts(self) -> tuple[Part, ...] | None:
        """The part of a split that each is in."""
        if "part" not in self._names:
            return None
        known = {name: part for part, names in NAMES.items() for name in names}
        cells = self._column("part")
        faults = [
            (line, f"the part {text!r} is unknown")
            for line, text in cells
            if text.lower() not in known
        ]
        self._refuse(faults, "Write train, val or test.")
        found = tuple(known[text.lower()] for _, text in cells)
        if "train" not in found:
            raise DataError(f"{escape_name(self._file)} has no photos of the part train.")
        return found

    def groups(self) -> tuple[str, ...] | None:
        """The name of the group of each."""
        if "group" not in self._names:
            return None
        cells = self._column("group")
        faults = [(line, "has no group") for line, text in cells if not text]
        self._refuse(faults, "Give each photo one, of its own if need be.")
        return tuple(text for _, text in cells)

    def weights(self) -> tuple[float, ...] | None:
        """How often each counts."""
        if "weight" not in self._names:
            return None
        cells = [(line, text, _number(text)) for line, text in self._column("weight")]
        faults = [
            (line, f"the weight {text!r} is not a number above 0")
            for line, text, number in cells
            if not 0 < number < math.inf
        ]
        self._refuse(faults, "1 is the weight of a photo that counts once.")
        return tuple(number for _, _, number in cells)

    def _column(self, name: str) -> list[tuple[int, str]]:
        return [(line, "" if row.get(name) is None else str(row[name])) for line, row in self._rows]

    def _refuse(self, faults: list[tuple[int, str]], advice: str) -> None:
        if faults:
            texts = [f"line {line}: {text}" for line, text in faults[:NAMED]]
            texts += [f"and {len(faults) - NAMED} more lines"] * (len(faults) > NAMED)
            raise DataError(f"{escape_name(self._file)}, {'; '.join(texts)}. {advice}")


def _below(root: Place, text: str) -> str:
    """`text`, with or without `root` before it, as a path below that; `..` leads out of it."""
    if isinstance(root, Url):
        key = text.removeprefix(f"{root}/")
        return ".." if key.startswith("/") or "://" in key else os.path.normpath(key)
    return os.path.relpath(os.path.join(root, text), root)  # noqa: PTH118


def _rows(file: Place) -> Iterator[tuple[int, Row]]:
    """Each row of a list with the number of its line. Raises DataError."""
    suffix = Path(file.name).suffix.lower()
    read = {".csv": _csv, ".jsonl": _json_lines, ".parquet": _parquet}[suffix]
    try:
        yield from read(file, fetch(file) if isinstance(file, Url) else file.read_bytes())
    except OSError as error:
        raise DataError(f"Cannot read {escape_name(file)}: {error.strerror}.") from None


def _csv(file: Place, content: bytes) -> Iterator[tuple[int, Row]]:
    text = content.decode("utf-8-sig", errors="surrogateescape")
    reader = csv.DictReader(io.StringIO(text, newline=""))
    try:
        for row in reader:
            if None in row or None in row.values():
                width = len(reader.fieldnames or ())
                raise DataError(
                    f"{escape_name(file)}, line {reader.line_num}: expected {width} cells, as "
                    "in the first line."
                )
            yield reader.line_num, row
    except csv.Error as error:
        place = f"{escape_name(file)}, line {reader.line_num}"
        raise DataError(f"{place}: is not CSV ({error}). {EXPECTED}") from None


def _json_lines(file: Place, content: bytes) -> Iterator[tuple[int, Row]]:
    for number, line in enumerate(content.decode(errors="surrogateescape").splitlines(), 1):
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            row = None
        if not isinstance(row, dict):
            raise DataError(
                f"{escape_name(file)}, line {number}: expected an object, such as "
                '{"path": "a.jpg", "label": "cat"}.'
            )
        yield number, row


def _parquet(file: Place, content: bytes) -> Iterator[tuple[int, Row]]:
    require("parquet", by=f"{escape_name(file)}")
    import pyarrow
    from pyarrow import parquet

    try:
        table = parquet.read_table(pyarrow.BufferReader(content))
    except pyarrow.ArrowInvalid as error:
        raise DataError(f"{escape_name(file)} cannot be read as Parquet ({error}).") from None
    names = [name for name in table.column_names if name in COLUMNS]
    yield from enumerate(table.select(names).to_pylist(), 1)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
