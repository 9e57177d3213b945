"""What an evaluation leaves in the run folder: its record, charts, and a row per photo."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from kvgg_jax.core.errors import RunError
from kvgg_jax.core.events import Emit, Warned
from kvgg_jax.core.places import place
from kvgg_jax.core.text import csv_cell, escape_name, from_csv_cell
from kvgg_jax.evaluation.charts import (
    draw_confusion,
    draw_mistakes,
    draw_ranking,
    draw_reliability,
)
from kvgg_jax.evaluation.record import Evaluation, EvaluationRecord
from kvgg_jax.runs.folder import Run
from kvgg_jax.runs.lock import evaluation_lock

COLUMNS = ("path", "class", "predicted", "probability", "class_probability")


def keep(result: Evaluation) -> Evaluation:
    """Write record, charts and predictions into the run folder; gives `result` with its `files`.

    One process writes at a time, and `evaluation-<split>.json` comes last: where it is, the others
    are of the same evaluation. A chart that an earlier evaluation left and this one has no reason
    for (no mistakes, too many classes for curves) is removed. Raises RunError when a file cannot
    be written.
    """
    with evaluation_lock(result.run):
        return _write(result)


def _write(result: Evaluation) -> Evaluation:
    run, record, table = Run(result.run), *file_names(result.split)
    _remove(run.path / record)
    kept = []
    for what, draw in _charts(result).items():
        file = result.run / f"{what}-{result.split}.png"
        if draw is None:
            _remove(file)
        else:
            draw(file)
            kept.append(file)
    run.write(table, predictions_csv(result))
    kept += [run.path / table, run.path / record]
    result = result.model_copy(update={"files": tuple(map(str, kept))})
    run.write(record, json.dumps(result.to_json(), indent=2) + "\n")
    return result


def try_to_keep(result: Evaluation, emit: Emit) -> Evaluation:
    """`keep`; where the run folder cannot be written, a Warned event and no `files`."""
    try:
        return keep(result)
    except RunError as error:
        emit(Warned(f"{error} The evaluation is shown and not kept."))
        return result


def read_evaluation(run: Run, **expected: Any) -> EvaluationRecord | None:
    """The evaluation of `expected["split"]` in the run folder; None where there is none whose
    fields are as `expected`."""
    try:  # by Python's reader: names may hold bytes that pydantic's refuses
        text = run.read(file_names(expected["split"])[0])
        found = EvaluationRecord.model_validate(json.loads(text))
    except (RunError, ValueError, RecursionError):
        return None
    as_expected = all(getattr(found, name) == value for name, value in expected.items())
    return found if as_expected else None


def read_predictions(run: Run, *, state: str) -> dict[str, tuple[str, str]] | None:
    """Photo -> (class, predicted), as `keep` wrote them for the run's own validation photos; None
    where it did not for this `state` of the run."""
    own = escape_name(place(str(run.config().data.dir)).absolute())
    record = read_evaluation(run, split="val", state=state, data=own, tta=False)
    if record is None:
        return None
    try:
        header, *rows = csv.reader(io.StringIO(run.read(file_names("val")[1]), newline=""))
    except (RunError, ValueError, csv.Error):
        return None
    if read_evaluation(run, split="val") != record:
        return None  # another evaluation is being written
    if tuple(header) != COLUMNS or any(len(row) != len(COLUMNS) for row in rows):
        return None
    texts = (map(from_csv_cell, row) for row in rows)
    return {path: (name, predicted) for path, name, predicted, *_ in texts}


def file_names(split: str) -> tuple[str, str]:
    """Of the record, and of the row per photo, in the run folder."""
    return f"evaluation-{split}.json", f"predictions-{split}.csv"


def _charts(result: Evaluation) -> dict[str, Callable[[Path], None] | None]:
    """Name -> how to draw it; None where there is nothing to show."""
    title = f"{result.split}: {result.accuracy:.4f} of {result.count} images"
    how = "not calibrated" if result.calibration is None else "calibrated"
    has_curves = any(one.roc_area is not None for one in result.classes.values())
    return {
        "confusion": partial(draw_confusion, result.cells, list(result.classes), title=title),
        "reliability": partial(draw_reliability, result.reliability, title=f"{title}, {how}"),
        "roc-pr": partial(draw_ranking, result, title=title) if has_curves else None,
        "mistakes": partial(draw_mistakes, result) if result.mistakes else None,
    }


def _remove(file: Path) -> None:
    if not os.path.lexists(file):  # a read-only disk refuses to remove even what is not there
        return
    try:
        file.unlink(missing_ok=True)
    except OSError as error:
        raise RunError(f"Cannot remove {file}: {error.strerror}.") from None


def predictions_csv(result: Evaluation) -> str:
    """`path,class,predicted,probability,class_probability`, a row per photo, in their order.

    Names are as `csv_cell` makes them. `probability` is that of the class predicted,
    `class_probability` that of the true one.
    """
    out = io.StringIO()
    # quoted, since before Python 3.13 a bare "\r" in a file name would not be
    writer = csv.writer(out, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
    writer.writerow(COLUMNS)
    for *texts, probability, class_probability in result.rows():
        writer.writerow((*map(csv_cell, texts), probability, class_probability))
    return out.getvalue()
