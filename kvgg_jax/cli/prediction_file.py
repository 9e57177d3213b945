"""Predictions as CSV, JSON lines or Parquet: on stdout, or in a file that grows photo by photo and
is continued."""

from __future__ import annotations

import csv
import io
import json
import os
import secrets
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from kvgg_jax.core.errors import DataError, RunError, UsageError
from kvgg_jax.core.extras import require
from kvgg_jax.core.files import TEMPORARY, flush, open_lines, read_text, write_text
from kvgg_jax.core.places import Place
from kvgg_jax.core.text import csv_cell, escape_name, printable

if TYPE_CHECKING:
    from kvgg_jax.inference.prediction import Prediction

HEADER = "path,rank,class,probability,error,unknown\n"
PARQUET = ".parquet"
GROUP = 8192  # photos in a row group of Parquet


def rows(one: Prediction, *, top: int) -> str:
    """A line per class, or one with the error of a file that cannot be read.

    Names are as `csv_cell` makes them, so that no spreadsheet runs one as a formula.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    for rank, (name, probability) in enumerate(one.top[:top], 1):
        label = csv_cell(printable(name))
        unknown = "" if one.typicality is None else "true" if one.unknown else "false"
        writer.writerow((_cell(one.path), rank, label, f"{probability:.6f}", "", unknown))
    if one.error:
        writer.writerow((_cell(one.path), "", "", "", csv_cell(printable(one.error)), ""))
    return text.getvalue()


def print_csv(found: Iterable[Prediction], *, header: bool, top: int) -> None:
    """All rows on stdout."""
    sys.stdout.write(HEADER if header else "")
    sys.stdout.writelines(rows(one, top=top) for one in found)


@dataclass(frozen=True, slots=True)
class _Form:
    """How photos stand in a file."""

    header: str
    rows: Callable[[Prediction, int], str]
    """Of a photo and `top`: its lines."""
    name: Callable[[Place], str]
    """What tells a photo in it."""
    whole: Callable[[str], Iterable[_Kept]]
    """Lines without the header, of which the last may be cut -> each photo that has all of them.
    Raises ValueError for something else."""


class _Kept(NamedTuple):
    """A photo that is in a file."""

    name: str
    lines: str
    error: str
    """Why it could not be read; empty otherwise."""


class Opened(NamedTuple):
    """A file of predictions that grows."""

    add: Callable[[Prediction], None]
    """Write the rows of a photo. The first one may be the last that is there: it is compared, and a
    DataError where the rows differ."""
    after: int
    """How many photos are left out of what is added."""
    there: int
    """How many photos it has already."""
    errors: list[str]
    """Of those that are left out."""


@contextmanager
def opened(
    file: Path, files: Sequence[Place], *, top: int, header: bool = True
) -> Iterator[Opened]:
    """The file to add predictions of `files` to, in their order, where it ends.

    A Parquet file ends with an index of its rows, so it cannot grow: JSON lines beside it do, and
    it is made of them once all are there. Raises UsageError for another kind of file, DataError
    where it has rows of other photos, RunError where it cannot be written.
    """
    if file.suffix.lower() == PARQUET:
        with _lines_of(file) as lines, opened(lines, files, top=top) as grown:
            yield grown
        return
    form = _FORMS.get(file.suffix.lower())
    if form is None:
        raise UsageError(
            f"--output {escape_name(file)}: the name ends in .csv, .jsonl or .parquet."
        )
    first = form.header if header else ""
    try:
        kept = _resume(file, map(form.name, files), form, first)
        last = kept[-1].lines if kept else None
        with file.open("a", encoding="utf-8", newline="") as stream:

            def add(one: Prediction) -> None:
                nonlocal last
                rows = form.rows(one, top)
                if last not in (None, rows):
                    raise DataError(
                        f"{escape_name(file)} was begun with another run or other options: they "
                        f"give other rows for {escape_name(one.path)}. Use the same ones, or "
                        "choose another --output."
                    )
                if last is None:
                    stream.write(rows)
                    stream.flush()
                last = None

            errors = [one.error for one in kept[:-1] if one.error]
            yield Opened(add, max(len(kept) - 1, 0), len(kept), errors)
    except OSError as error:
        raise RunError(f"Cannot write {escape_name(file)}: {error.strerror}.") from None


@contextmanager
def _lines_of(file: Path) -> Iterator[Path]:
    """A file of JSON lines, of which the Parquet file `file` is made at the end."""
    require("parquet", by="A Parquet file")
    if os.path.lexists(file):
        raise UsageError(f"--output {escape_name(file)} exists. Choose another name, or remove it.")
    lines = file.with_name(f"{file.name}.jsonl")
    yield lines
    try:
        _write_parquet(lines, file)
        lines.unlink()
    except OSError as error:
        raise RunError(f"Cannot write {escape_name(file)}: {error.strerror or error}.") from None


def _write_parquet(lines: Path, file: Path) -> None:
    """A row per photo, with the keys of its JSON, `GROUP` rows at a time; in one move."""
    import pyarrow
    from pyarrow import parquet

    text, number, flag = pyarrow.string(), pyarrow.float64(), pyarrow.bool_()
    ranks = pyarrow.list_(pyarrow.struct({"class": text, "probability": number}))
    schema = pyarrow.schema(
        {
            "path": text,
            "class": text,
            "probability": number,
            "calibrated": flag,
            "unsure": flag,
            "unknown": flag,
            "typicality": number,
            "top": ranks,
            "error": text,
        }
    )
    temporary = file.with_name(TEMPORARY.format(secrets.token_hex(4)))
    try:
        with parquet.ParquetWriter(temporary, schema) as table, open_lines(lines) as left:
            while some := list(islice(left, GROUP)):
                rows = [json.loads(line, object_pairs_hook=_printable) for line in some]
                table.write_table(pyarrow.Table.from_pylist(rows, schema))
        flush(temporary)  # the lines are removed next
        temporary.replace(file)
        flush(file.parent)
    finally:
        temporary.unlink(missing_ok=True)


def _printable(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of JSON, its texts without the bytes that UTF-8 does not have."""
    return {key: printable(one) if isinstance(one, str) else one for key, one in pairs}


def _resume(file: Path, names: Iterator[str], form: _Form, header: str) -> list[_Kept]:
    """Leave whole photos in `file`, or the header; of the last one, a kill may have left a part."""
    text = read_text(file) if os.path.exists(file) else ""
    try:
        if not text.startswith(header[: len(text)]):
            raise ValueError
        photos = list(form.whole(text[len(header) :]))
        if [one.name for one in photos] != list(islice(names, len(photos))):
            raise ValueError
    except ValueError:
        raise DataError(
            f"{escape_name(file)} is there and has no predictions of these photos, or has them in "
            "another order. Choose another --output, or remove it."
        ) from None
    write_text(file, header + "".join(one.lines for one in photos))
    return photos


def _csv_photos(text: str) -> list[_Kept]:
    """Without a last one that may lack a row: another that could be read has more, or there is
    none to compare it with."""
    lines = csv.reader(io.StringIO(text[: text.rfind("\n") + 1], newline=""))
    photos, counts = list[_Kept](), [0]
    for name, group in groupby(lines, lambda row: "".join(row[:1])):
        kept, rows = io.StringIO(), list(group)
        csv.writer(kept, lineterminator="\n").writerows(rows)
        photos.append(_Kept(name, kept.getvalue(), "".join(rows[0][4:5])))
        counts.append(0 if photos[-1].error else len(rows))
    is_whole = bool(photos and photos[-1].error) or 0 < counts[-1] == max(counts[:-1])
    return photos if is_whole else photos[:-1]


def _json_rows(one: Prediction, top: int) -> str:
    return json.dumps(one.to_json(top=top)) + "\n"


def _json_photos(text: str) -> Iterator[_Kept]:
    for line in text[: text.rfind("\n") + 1].splitlines(keepends=True):
        photo = json.loads(line)
        if not isinstance(photo, dict):
            raise ValueError
        yield _Kept(str(photo.get("path")), line, str(photo.get("error", "")))


def _cell(path: Place) -> str:
    return csv_cell(printable(str(path)))


_FORMS = {
    ".csv": _Form(HEADER, lambda one, top: rows(one, top=top), _cell, _csv_photos),
    ".jsonl": _Form("", _json_rows, str, _json_photos),
}
