"""Predictions as CSV: on stdout, or in a file that grows photo by photo and is continued."""

from __future__ import annotations

import csv
import io
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

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


def print_csv(found: Iterable[Prediction], *, header: str, top: int) -> None:
    """All rows on stdout."""
    sys.stdout.write(header)
    sys.stdout.writelines(rows(one, top=top) for one in found)


@contextmanager
def opened(
    file: Path, files: Sequence[Place], *, header: str, top: int
) -> Iterator[tuple[Callable[[Prediction], Prediction], int]]:
    """What adds the rows of a photo to `file`, and how many of `files` it has already.

    Raises UsageError for another kind of file, DataError where it has rows of other photos,
    RunError where it cannot be written.
    """
    if file.suffix.lower() != ".csv":
        raise UsageError(f"--output {escape_name(file)}: the name of a CSV file ends in .csv.")
    try:
        done = _resume(file, [_cell(path) for path in files], header=header)
        with file.open("a", encoding="utf-8", newline="") as stream:

            def add(one: Prediction) -> Prediction:
                stream.write(rows(one, top=top))
                stream.flush()
                return one

            yield add, done
    except OSError as error:
        raise RunError(f"Cannot write {escape_name(file)}: {error.strerror}.") from None


def _resume(file: Path, cells: Sequence[str], *, header: str) -> int:
    """Leave whole photos in `file`, or the header; of the last one, a kill may have left a part."""
    text = read_text(file) if os.path.exists(file) else ""
    if not text.startswith(header[: len(text)]):
        raise _other_photos(file)
    body = text[len(header) :]
    lines = csv.reader(io.StringIO(body[: body.rfind("\n") + 1], newline=""))
    photos = [(path, [*group]) for path, group in groupby(lines, lambda row: "".join(row[:1]))][:-1]
    if [path for path, _ in photos] != list(cells[: len(photos)]):
        raise _other_photos(file)
    kept = io.StringIO()
    csv.writer(kept, lineterminator="\n").writerows(row for _, group in photos for row in group)
    write_text(file, header + kept.getvalue())
    return len(photos)


def _other_photos(file: Path) -> DataError:
    return DataError(
        f"{escape_name(file)} is there and has no predictions of these photos. Choose another "
        "--output, or remove it."
    )


def _cell(path: Place) -> str:
    return csv_cell(printable(str(path)))
