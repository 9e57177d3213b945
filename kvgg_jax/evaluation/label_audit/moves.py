"""A CSV file of moves: photos with the class that an audit suggests. `apply` carries it out.

A row is independent of all others: its file is at `path` or, once moved, at `to`, and its digest
tells. So a file of moves can be applied again after a kill, and its inverse undoes any part of it.
"""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path, PurePosixPath

from kvgg_jax.core.errors import DataError
from kvgg_jax.core.files import read_text
from kvgg_jax.core.text import csv_cell, escape_name, from_csv_cell
from kvgg_jax.data.sources.folder import Folder
from kvgg_jax.data.split import check_below
from kvgg_jax.evaluation.label_audit.findings import Audit, LabelIssue
from kvgg_jax.runs.folder import write_file


@dataclass(frozen=True, slots=True)
class Move:
    """A row: the file `path` below `folder`, and where it goes, in the folder of another class."""

    folder: str
    path: str
    to: str
    """Empty where photos are not files in class folders."""
    label: str
    suggested: str
    score: str
    sha256: str
    """Of the content of the file."""

    @property
    def source(self) -> Path:
        """Where the file is."""
        return Path(self.folder, self.path)

    @property
    def target(self) -> Path:
        """Where it goes."""
        return Path(self.folder, self.to)

    def inverse(self) -> Move:
        """The move back."""
        return Move(
            self.folder, self.to, self.path, self.suggested, self.label, self.score, self.sha256
        )


NAMES = {"label": "class"}  # as the other files and JSON call it
COLUMNS = [NAMES.get(field.name, field.name) for field in fields(Move)]


def write_moves(result: Audit, file: Path) -> None:
    """Write the label issues of an audit as moves, the surest first. Raises RunError."""
    samples, taken = result.samples, set(result.samples.paths)
    row_of = {path: row for row, path in enumerate(samples.paths)}
    moves = []
    for issue in result.issues:
        to = _free(issue, taken) if isinstance(samples.source, Folder) else ""
        taken.add(to)
        moves.append(
            Move(
                folder=str(samples.root.absolute()),
                path=issue.path,
                to=to,
                label=issue.label,
                suggested=issue.suggested,
                score=f"{issue.score:.4f}",
                sha256=hashlib.sha256(samples.read(row_of[issue.path])).hexdigest(),
            )
        )
    write_file(file, moves_csv(moves))


def _free(issue: LabelIssue, taken: set[str]) -> str:
    """The same path in the folder of the suggested class; another name where that is taken."""
    *folders, name = PurePosixPath(issue.path).parts
    folders[folders.index(issue.label)] = issue.suggested
    stem, suffix = PurePosixPath(name).stem, PurePosixPath(name).suffix
    names = [name, *(f"{stem}-{issue.label}{number}{suffix}" for number in ("", *range(2, 1000)))]
    paths = ("/".join((*folders, one)) for one in names)
    return next(path for path in paths if path not in taken)


def moves_csv(moves: Iterable[Move]) -> str:
    """The text of a file of moves; names are as `csv_cell` makes them."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n", quoting=csv.QUOTE_ALL)
    writer.writerow(COLUMNS)
    writer.writerows([csv_cell(text) for text in asdict(move).values()] for move in moves)
    return out.getvalue()


def read_moves(file: Path) -> list[tuple[int, Move]]:
    """Each move with the number of its line; other columns are ignored. Raises DataError.

    What a spreadsheet has saved is read too: after a byte-order mark, or with semicolons.
    """
    name = escape_name(file)
    try:
        text = read_text(file).removeprefix("\ufeff")
        separator = max(",;", key=text.partition("\n")[0].count)
        reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=separator)
        rows = [(reader.line_num, row) for row in reader]
    except OSError as error:
        raise DataError(f"Cannot read {name}: {error.strerror}.") from None
    except csv.Error as error:
        raise DataError(f"{name} is not CSV ({error}).") from None
    expected = f"Expected the columns {','.join(COLUMNS)}, as kvgg audit --moves writes them."
    if not set(COLUMNS) <= set(reader.fieldnames or ()):
        raise DataError(f"{name} is no file of moves. {expected}")
    moves = []
    for line, row in rows:
        cells = [row[column] for column in COLUMNS]
        if None in row or None in cells:
            raise DataError(f"{name}, line {line}: has another number of cells. {expected}")
        move = Move(*map(from_csv_cell, cells))
        if fault := _fault(move):
            raise DataError(f"{name}, line {line}: {fault}.")
        moves.append((line, move))
    return moves


def _fault(move: Move) -> str | None:
    """Why a row is no move between two class folders of one folder, as part of a sentence."""
    if not move.to:
        return "no `to`: the photos came from a list or from shards. Change the labels there"
    try:
        paths = [PurePosixPath(check_below(path)) for path in (move.path, move.to)]
    except ValueError as error:
        return str(error)
    if not Path(move.folder).is_absolute():
        return f"{escape_name(move.folder)} is not a whole path"
    folders = [path.parent.parts for path in paths]
    changed = [pair for pair in zip(*folders, strict=False) if pair[0] != pair[1]]
    if len(folders[0]) != len(folders[1]) or changed != [(move.label, move.suggested)]:
        return (
            f"`to` must be the path with the folder {escape_name(move.suggested)} in place of "
            f"{escape_name(move.label)}"
        )
    return None
