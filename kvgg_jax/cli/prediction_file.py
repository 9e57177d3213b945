"""Predictions as CSV or JSON lines: on stdout, or in a file that grows photo by photo and is
continued."""

from __future__ import annotations

import csv
import io
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from kvgg_jax.core.errors import DataError, RunError, UsageError
from kvgg_jax.core.files import read_text, write_text
from kvgg_jax.core.places import Place
from kvgg_jax.core.text import csv_cell, escape_name, printable

if TYPE_CHECKING:
    from kvgg_jax.inference.prediction import Prediction

HEADER = "path,rank,class,probability,error\n"


def rows(one: Prediction, *, top: int) -> str:
    """A line per class, or one with the error of a file that cannot be read.

    Names are as `csv_cell` makes them, so that no spreadsheet runs one as a formula.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    for rank, (name, probability) in enumerate(one.top[:top], 1):
        label = csv_cell(printable(name))
        writer.writerow((_cell(one.path), rank, label, f"{probability:.6f}", ""))
    if one.error:
        writer.writerow((_cell(one.path), "", "", "", csv_cell(printable(one.error))))
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

    Raises UsageError for another kind of file, DataError where it has rows of other photos,
    RunError where it cannot be written.
    """
    form = _FORMS.get(file.suffix.lower())
    if form is None:
        raise UsageError(f"--output {escape_name(file)}: the name ends in .csv or .jsonl.")
    first = form.header if header else ""
    try:
        kept = _resume(file, [form.name(path) for path in files], form, first)
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


def _resume(file: Path, names: Sequence[str], form: _Form, header: str) -> list[_Kept]:
    """Leave whole photos in `file`, or the header; of the last one, a kill may have left a part."""
    text = read_text(file) if os.path.exists(file) else ""
    try:
        if not text.startswith(header[: len(text)]):
            raise ValueError
        photos = list(form.whole(text[len(header) :]))
        if [one.name for one in photos] != list(names[: len(photos)]):
            raise ValueError
    except ValueError:
        raise DataError(
            f"{escape_name(file)} is there and has no predictions of these photos, or has them in "
            "another order. Choose another --output, or remove it."
        ) from None
    write_text(file, header + "".join(one.lines for one in photos))
    return photos


def _csv_photos(text: str) -> list[_Kept]:
    """All but the last one, which may lack a row."""
    lines = csv.reader(io.StringIO(text[: text.rfind("\n") + 1], newline=""))
    photos = []
    for name, group in groupby(lines, lambda row: "".join(row[:1])):
        kept, rows = io.StringIO(), list(group)
        csv.writer(kept, lineterminator="\n").writerows(rows)
        photos.append(_Kept(name, kept.getvalue(), "".join(rows[0][4:])))
    return photos[:-1]


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
