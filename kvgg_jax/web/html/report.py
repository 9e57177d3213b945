"""`report`: all that is known of a run, in one HTML file. TensorFlow is loaded to evaluate only."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from kvgg_jax.core.config import RunConfig
from kvgg_jax.core.errors import DataError, RunError
from kvgg_jax.core.events import Emit, Note, Warned, ignore
from kvgg_jax.core.text import escape_name
from kvgg_jax.data.audit.audit import check_data
from kvgg_jax.data.audit.findings import Check
from kvgg_jax.evaluation.evaluate import evaluate
from kvgg_jax.evaluation.files import read_evaluation, try_to_keep
from kvgg_jax.evaluation.mistakes import Seen, look_at
from kvgg_jax.evaluation.record import WORST, EvaluationRecord
from kvgg_jax.inference.temperature import current_calibration
from kvgg_jax.runs import catalog, step_folders
from kvgg_jax.runs.folder import Run
from kvgg_jax.runs.listing import summarise
from kvgg_jax.web.html.report_page import NEED_FIGURES, Contents, write_report

T = TypeVar("T")
FILE = "report.html"  # in the run folder, where nothing else is said
MISTAKES = 12
NOT_ASKED = "not asked for"


@dataclass(frozen=True, slots=True)
class Report:
    """A report that was written, and what is in it."""

    run: Path
    path: Path
    size: int
    """Bytes."""
    split: str
    contents: tuple[str, ...]
    """Its parts, in order."""
    left_out: dict[str, str]
    """Part -> why it is not there."""

    def to_json(self) -> dict[str, Any]:
        """`{"run", "path", "bytes", "split", "contents": [...], "left_out": {part: reason}}`."""
        return {
            "run": str(self.run),
            "path": str(self.path),
            "bytes": self.size,
            "split": self.split,
            "contents": list(self.contents),
            "left_out": self.left_out,
        }


def report(
    run: str | Path | None = None,
    *,
    output: str | Path | None = None,
    data: str | Path | None = None,
    split: str | None = None,
    skip_bad: bool | None = None,
    mistakes: int = MISTAKES,
    check: bool = True,
    out: str | Path = catalog.OUT,
    emit: Emit = ignore,
) -> Report:
    """Write one self-contained page on a run: by default `report.html` in its folder.

    The figures are those that `evaluate` left, where they are of the run's best state and its
    calibration; else it is evaluated now, and keeps the result. `data` and `split` say on which
    photos, as in `evaluate`. `mistakes` is how many of the most confident ones are shown, 0 to 24,
    each with Grad-CAM; `check=False` leaves out the look through the photos.

    Parts that need photos which are not there are left out, and the page says so. Raises RunError
    for a run that cannot be used and for a page that cannot be written, ValueError for another
    `split` or number of `mistakes`.
    """
    if split not in (None, "val", "all") or not 0 <= mistakes <= WORST:
        raise ValueError(f"split {split!r}, mistakes {mistakes}: use val or all, and 0 to {WORST}")
    found = catalog.find(run, out=Path(out))
    (summary,) = summarise([found.path])
    if summary.history.best is None:
        text = f"{found.path} has no finished epoch yet, so there is nothing to report."
        raise RunError(f"{text} Let it go on: kvgg train --resume {found.path}")
    file = Path(output) if output else found.path / FILE
    if os.path.isdir(file) or not os.path.isdir(file.parent):  # before the long work
        raise RunError(
            f"Cannot write {escape_name(file)}: it is a folder, or its folder is missing. "
            "Choose another --output."
        )
    if run is None:
        emit(Note(f"Using {found.path}, the newest finished run"))
    wanted = _Wanted(found, summary.config, data, split or ("all" if data else "val"), skip_bad)
    left_out: dict[str, str] = {}

    def unless_gone(parts: tuple[str, ...], make: Callable[[], T]) -> T | None:
        try:
            return make()
        except DataError as error:
            left_out.update(dict.fromkeys(parts, str(error)))
            if str(error) != NOT_ASKED:
                emit(Warned(f"Left out: {', '.join(parts)}. {error}"))
            return None

    evaluated = unless_gone(NEED_FIGURES, lambda: _judge(wanted, emit))
    seen = unless_gone(("mistakes",), lambda: _look(wanted, evaluated, mistakes, emit))
    checked = unless_gone(("photos",), lambda: _check(wanted, check, emit))
    worst = evaluated.mistakes[:mistakes] if evaluated else ()
    page = Contents(
        summary, found.split(wanted.own), evaluated, worst, seen or (), checked, left_out
    )
    size = write_report(page, file, now=datetime.now())
    return Report(found.path, file, size, wanted.part, page.names, left_out)


@dataclass(frozen=True, slots=True)
class _Wanted:
    """Of which run, on which photos."""

    run: Run
    config: RunConfig
    data: str | Path | None
    part: str
    skip_bad: bool | None

    @property
    def own(self) -> Path:
        """Where the photos of its training are, or were."""
        return Path(str(self.config.data.dir))

    @property
    def root(self) -> Path:
        """Of the photos to judge."""
        return Path(self.data or self.own)

    def photos(self, root: Path) -> Path:
        """`root`; raises DataError when it is not there."""
        if not os.path.isdir(root):
            raise DataError(
                f"The photos are not in {escape_name(root)}. Say where they are: --data DIR "
                "--split val"
            )
        return root


def _judge(wanted: _Wanted, emit: Emit) -> EvaluationRecord:
    run, state = wanted.run, step_folders.newest(wanted.run.checkpoints / "best")
    known = None
    if state is not None and wanted.part == "val":  # which photos are all of a folder may change
        known = read_evaluation(
            run,
            split=wanted.part,
            state=state,
            data=escape_name(wanted.root.absolute()),
            calibration=current_calibration(run, state, emit),
        )
    if known is not None:
        return known
    wanted.photos(wanted.root)
    emit(Note(f"Evaluating {run.path}"))
    result = evaluate(
        run.path, data=wanted.data, split=wanted.part, skip_bad=wanted.skip_bad, emit=emit
    )
    return try_to_keep(result, emit)


def _look(
    wanted: _Wanted, evaluated: EvaluationRecord | None, count: int, emit: Emit
) -> tuple[Seen, ...]:
    if evaluated is None:
        raise DataError("There are no figures that would name them.")
    if not count:
        raise DataError(NOT_ASKED)
    chosen = evaluated.mistakes[:count]
    return look_at(chosen, wanted.photos(wanted.root), wanted.run, emit) if chosen else ()


def _check(wanted: _Wanted, asked: bool, emit: Emit) -> Check:
    if not asked:
        raise DataError(NOT_ASKED)
    moved = wanted.data is not None and wanted.part == "val"
    folder = wanted.photos(wanted.root if moved else wanted.own)
    other = wanted.photos(wanted.root) if wanted.part == "all" else folder
    against = None if other.samefile(folder) else other
    dealt = wanted.run.split(folder)
    return check_data(folder, against=against, config=wanted.config, split=dealt, emit=emit)
