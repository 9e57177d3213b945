"""Moves photos to the folders of other classes: all rows are checked first, nothing is overwritten,
and a second file of moves, written before the first photo moves, undoes them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from kvgg_jax.core.errors import DataError
from kvgg_jax.core.events import Emit, Progress, ignore
from kvgg_jax.core.files import digest, flush
from kvgg_jax.core.text import counted, escape_name
from kvgg_jax.evaluation.label_audit.moves import Move, moves_csv, read_moves
from kvgg_jax.runs.folder import write_file

NAMED = 3  # faults in one message


@dataclass(frozen=True, slots=True)
class Applied:
    """What was moved, or would be."""

    file: Path
    """The moves."""
    undo: Path
    """The file of moves that moves them back."""
    moves: tuple[Move, ...]
    """Those that were not made before."""
    done: int
    """How many had been made before."""
    dry_run: bool
    """Whether nothing was moved."""

    def to_json(self) -> dict[str, Any]:
        """`{"file", "undo", "dry_run", "done", "moves": [{"path", "to", ...}, ...]}`."""
        moves = [asdict(move) for move in self.moves]
        for move in moves:
            move["class"] = move.pop("label")
        return {
            "file": str(self.file),
            "undo": str(self.undo),
            "dry_run": self.dry_run,
            "done": self.done,
            "moves": moves,
        }


def apply_moves(file: str | Path, *, dry_run: bool = True, emit: Emit = ignore) -> Applied:
    """Move the photos that a file of `kvgg audit --moves` names; with `dry_run`, check it only.

    Every row is checked before the first photo is moved. Then a file of the moves back is written
    beside `file`, as `<name>-undo.csv`, unless `file` is one and `<name>.csv` has these moves:
    after a kill too, applying it undoes what was done, and applying `file` again does the rest.
    Raises DataError, with nothing moved, where a photo has changed or is missing, where its new
    name is taken, a class has no folder any more, or the file of the moves back has others that are
    not undone.
    """
    file = Path(file)
    rows = read_moves(file)
    waiting = _check(file, rows, emit)
    back = [move.inverse() for _, move in rows]
    undo = _undo_file(file, back)
    if waiting:
        _check_undo(undo, back)
    if waiting and not dry_run:
        if _found(undo) != back:
            write_file(undo, moves_csv(back))
        for done, move in enumerate(waiting, 1):
            _move(move, file, undo)
            emit(Progress("moving", done, len(waiting)))
        for folder in {path.parent for move in waiting for path in (move.source, move.target)}:
            flush(folder)
    return Applied(file, undo, tuple(waiting), len(rows) - len(waiting), dry_run)


def _check(file: Path, rows: Sequence[tuple[int, Move]], emit: Emit) -> list[Move]:
    """The moves that are not made yet. Raises DataError."""
    waiting, faults, lines = [], [], dict[Path, int]()
    for done, (line, move) in enumerate(rows, 1):
        fault = _fault(move)
        for path in (move.source, move.target):
            if path in lines:
                fault = f"{escape_name(path)} is in line {lines[path]} already"
            lines[path] = line
        if fault:
            faults.append(f"line {line}: {fault}")
        elif not _is_made(move):
            waiting.append(move)
        emit(Progress("checking", done, len(rows)))
    if faults:
        more = [f"and {counted(len(faults) - NAMED, 'more line')}"] * (len(faults) > NAMED)
        raise DataError(
            f"{escape_name(file)}, {'; '.join([*faults[:NAMED], *more])}. Nothing was moved. "
            "Remove these rows, or audit the photos again."
        )
    return waiting


def _is_made(move: Move) -> bool:
    """Whether the photo is at its new place alone."""
    return not os.path.lexists(move.source) and os.path.lexists(move.target)


def _fault(move: Move) -> str | None:
    """Why a move cannot be made, as part of a sentence; None for one that is made already too."""
    at = move.target if _is_made(move) else move.source
    try:
        if not os.path.lexists(at):
            return f"{escape_name(at)} is not there"
        if digest(at) != move.sha256:
            return f"{escape_name(at)} has changed since the audit"
        return _fault_of_target(move) if at == move.source else None
    except OSError as error:
        return f"{escape_name(at)} cannot be read ({error.strerror})"


def _fault_of_target(move: Move) -> str | None:
    folder, target = _class_folder(move), move.target
    if os.path.lexists(target) and not target.samefile(move.source):
        return f"{escape_name(target)} is there already"
    if not folder.is_dir():
        return f"there is no folder {escape_name(folder)}"
    if folder.stat().st_dev != move.source.lstat().st_dev:
        return f"{escape_name(folder)} is on another disk"
    return None


def _class_folder(move: Move) -> Path:
    """That of the suggested class: the first folder in which the two paths differ."""
    parts = Path(move.to).parts
    pairs = zip(Path(move.path).parts, parts, strict=True)
    depth = next(place for place, (one, other) in enumerate(pairs) if one != other)
    return Path(move.folder, *parts[: depth + 1])


def _undo_file(file: Path, back: list[Move]) -> Path:
    """Where the moves back are to be: a new file, or the one that `file` undoes."""
    original = file.with_name(f"{file.stem.removesuffix('-undo')}.csv")
    if original != file and _found(original) == back:
        return original
    return file.with_name(f"{file.stem}-undo.csv")


def _check_undo(undo: Path, back: list[Move]) -> None:
    """Raises DataError where the file is there, unless it has these moves or all are undone."""
    found = _found(undo) if os.path.lexists(undo) else back
    if found is None or not (found == back or all(map(_is_made, found))):
        raise DataError(
            f"{escape_name(undo)} is there, with other moves that are not undone. Nothing was "
            "moved. Keep it under another name, or remove it if those moves need not be undone "
            "any more."
        )


def _found(file: Path) -> list[Move] | None:
    """The moves of a file; None where it has none or cannot be read."""
    try:
        return [move for _, move in read_moves(file)]
    except DataError:
        return None


def _move(move: Move, file: Path, undo: Path) -> None:
    """One photo, never over another file. A kill leaves it at its old place, its new one, or under
    both names, which `_fault` lets pass: then the next call removes the old name."""
    source, target = move.source, move.target
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if not os.path.lexists(target):
            try:
                os.link(source, target, follow_symlinks=False)
            except FileExistsError:
                raise
            except OSError:  # a file system without hard links, such as that of a memory card
                source.rename(target)
                return
        elif not target.samefile(source):
            raise FileExistsError(0, "it is there already")
        source.unlink()
    except OSError as error:
        raise DataError(
            f"Cannot move {escape_name(source)} to {escape_name(target)}: {error.strerror}. To go "
            f"on, apply {escape_name(file)} again; to undo what was moved, apply "
            f"{escape_name(undo)}."
        ) from None
