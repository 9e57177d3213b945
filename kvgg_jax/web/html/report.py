"""`report`: all that is known of a run, in one HTML file. TensorFlow is loaded to evaluate only."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from kvgg_jax.core.config import RunConfig
from kvgg_jax.core.errors import DataError, RunError
from kvgg_jax.core.events import Emit, Note, Warned, ignore
from kvgg_jax.core.places import Place, canonical, is_missing, place
from kvgg_jax.core.text import escape_name
from kvgg_jax.data.audit.audit import check_data
from kvgg_jax.data.audit.findings import Check
from kvgg_jax.data.open_photos import source_of
from kvgg_jax.evaluation.evaluate import evaluate
from kvgg_jax.evaluation.files import read_evaluation, try_to_keep
from kvgg_jax.evaluation.mistakes import Seen, look_at
from kvgg_jax.evaluation.record import WORST, EvaluationRecord, Mistake
from kvgg_jax.inference.temperature import current_calibration
from kvgg_jax.runs import catalog, step_folders
from kvgg_jax.runs.folder import Run
from kvgg_jax.runs.listing import RunSummary, summarise
from kvgg_jax.web.html.page import check_writable
from kvgg_jax.web.html.report_page import HEADINGS, NEED_FIGURES, Contents, write_report

T = TypeVar("T")
FILE = "report.html"  # in the run folder, if no other file is named
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
    """Its sections, in order."""
    left_out: dict[str, str]
    """Section -> why it is not there."""

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

    The figures are those that `evaluate` stored, if they are of the run's best state and its
    calibration; else the run is evaluated now, and the result stored. `data` and `split` say on
    which photos, as in `evaluate`. `mistakes` is how many of the most confident ones are shown, 0
    to 24, each with Grad-CAM; `check=False` leaves out the results of `data check`.

    Sections whose photos are missing are left out, and the page says so. Raises RunError for a
    run that cannot be used and for a page that cannot be written, ValueError for another `split`
    or number of `mistakes`.
    """
    if not 0 <= mistakes <= WORST:
        raise ValueError(f"mistakes {mistakes}: use 0 to {WORST}")
    sources = Sources.of(run, data=data, split=split, out=out, emit=emit)
    found, summary = sources.run, sources.summary
    file = Path(output) if output else found.path / FILE
    check_writable(file, option="--output")
    catalog.tell_newest(run, found.path, emit)
    asked = {"mistakes": mistakes, "photos": check}
    left_out = {section: NOT_ASKED for section, wanted in asked.items() if not wanted}

    def unless_missing(make: Callable[[], T], *sections: str) -> T | None:
        if left_out.keys() & sections:
            return None
        try:
            return make()
        except DataError as error:
            left_out.update(dict.fromkeys(sections, str(error)))
            emit(Warned(f"Left out: {', '.join(sections)}. {error}"))
            return None

    figures = unless_missing(lambda: sources.evaluation(data, skip_bad), *NEED_FIGURES)
    worst = figures.mistakes[:mistakes] if figures else ()
    seen = unless_missing(lambda: sources.mistakes(figures, worst), "mistakes")
    findings = unless_missing(lambda: sources.check(summary.config), "photos")
    page = Contents(summary, found.split(), figures, worst, seen, findings, left_out)
    size = write_report(page, file, now=datetime.now())
    contents = tuple(section for section in HEADINGS if section not in left_out)
    return Report(found.path, file, size, sources.part, contents, left_out)


@dataclass(frozen=True, slots=True)
class Sources:
    """The run and the photos that sections are made from; DataError where photos are missing."""

    run: Run
    summary: RunSummary
    own: Place
    """The photos it was trained on."""
    evaluated: Place
    """The photos to evaluate it on."""
    part: str
    emit: Emit

    @classmethod
    def of(
        cls,
        run: str | Path | None,
        *,
        data: str | Path | None,
        split: str | None,
        out: str | Path,
        emit: Emit,
    ) -> Sources:
        """Of a run with an epoch to report. Raises RunError; ValueError for another `split`."""
        if split not in (None, "val", "test", "all"):
            raise ValueError(f"split {split!r}: use val, test or all")
        found = catalog.find(run, out=Path(out))
        (summary,) = summarise([found.path])
        if summary.history.best is None:
            text = f"{found.path} has no finished epoch yet, so there is nothing to report."
            raise RunError(f"{text} Continue it: kvgg train --resume {found.path}")
        part, own = split or ("all" if data else "val"), place(str(summary.config.data.dir))
        return cls(found, summary, own, place(data or own), part, emit)

    def evaluation(self, data: str | Path | None, skip_bad: bool | None) -> EvaluationRecord:
        """The stored one if it is of this state and these photos; else made and stored now."""
        state = step_folders.newest(self.run.checkpoints / "best")
        if state is not None and self.part == "val":  # "all" photos of a folder may change
            stored = read_evaluation(
                self.run,
                split=self.part,
                state=state,
                data=escape_name(self.evaluated.absolute()),
                tta=False,
                calibration=current_calibration(self.run, state, self.emit),
            )
            if stored is not None:
                return stored
        _existing(self.evaluated)
        self.emit(Note(f"Evaluating {self.run.path}"))
        result = evaluate(
            self.run.path, data=data, split=self.part, skip_bad=skip_bad, emit=self.emit
        )
        return try_to_keep(result, self.emit)

    def mistakes(
        self, figures: EvaluationRecord | None, worst: Sequence[Mistake]
    ) -> tuple[Seen, ...]:
        """The photos of the mistakes, with their heatmaps."""
        if figures is None:
            raise DataError("There are no figures that would name them.")
        _existing(self.evaluated)
        source = source_of(self.run.config().data.at(self.evaluated))
        return look_at(worst, source, self.run, self.emit) if worst else ()

    def check(self, config: RunConfig) -> Check:
        """What `data check` finds in the photos of the run, beside those of `--data`."""
        has_moved = self.part != "all"
        folder = _existing(self.evaluated if has_moved else self.own)
        other = folder if has_moved else _existing(self.evaluated)
        against = None if canonical(other) == canonical(folder) else other
        split = self.run.split(source_of(config.data.at(folder)))
        return check_data(folder, against=against, config=config, split=split, emit=self.emit)


def _existing(folder: Place) -> Place:
    if is_missing(folder):
        raise DataError(
            f"The photos are not in {escape_name(folder)}. Say where they are: --data DIR "
            "--split val"
        )
    return folder
