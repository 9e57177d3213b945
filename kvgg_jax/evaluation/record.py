"""What an evaluation leaves in the run folder: its figures, pictures, and a row a photo."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from kvgg_jax.core.errors import RunError
from kvgg_jax.core.events import Emit, Warned
from kvgg_jax.core.text import escape_name
from kvgg_jax.data.decode.image import load
from kvgg_jax.evaluation.charts import (
    Mistake,
    draw_confusion,
    draw_mistakes,
    draw_ranking,
    draw_reliability,
)
from kvgg_jax.evaluation.evaluate import Evaluation
from kvgg_jax.evaluation.metrics import LEVEL, RESAMPLES, SEED
from kvgg_jax.runs.folder import Run

WORST = 24  # mistakes in the gallery and in `--json`
THUMB = 160  # pixels a side in the gallery
COLUMNS = ("path", "class", "predicted", "probability", "class_probability")


def keep(result: Evaluation) -> list[Path]:
    """Write what `--json` prints, pictures, and predictions into the run folder; say which files.

    `evaluation-<split>.json` comes last: where it is, the others are of the same evaluation. A
    picture that there is no reason for (no mistakes, too many classes for curves) is removed if
    an earlier evaluation left one. Raises RunError when one cannot be written.
    """
    run, figures, table = Run(result.run), *file_names(result.split)
    _remove(run.path / figures)
    kept = []
    for what, draw in _images(result).items():
        file = result.run / f"{what}-{result.split}.png"
        if draw is None:
            _remove(file)
        else:
            draw(file)
            kept.append(file)
    run.write(table, predictions_csv(result))
    kept += [run.path / table, run.path / figures]
    run.write(figures, json.dumps(evaluation_json(result, kept), indent=2) + "\n")
    return kept


def try_to_keep(result: Evaluation, emit: Emit) -> list[Path]:
    """`keep`; where the run folder cannot be written, a Warned event and no files.

    The figures stand all the same.
    """
    try:
        return keep(result)
    except RunError as error:
        emit(Warned(f"{error} The evaluation is shown and not kept."))
        return []


def recall(run: Run, *, state: str) -> dict[str, tuple[str, str]] | None:
    """Photo -> (class, predicted), as `keep` wrote them for the run's own validation photos.

    None where that was never done, or not for this `state` of the run.
    """
    figures, table = file_names("val")
    try:
        known = json.loads(run.read(figures))
        rows = list(csv.reader(io.StringIO(run.read(table), newline="")))
    except (RunError, ValueError, RecursionError, csv.Error):
        return None
    own = escape_name(Path(str(run.config().data.dir)).absolute())
    if not isinstance(known, dict) or (known.get("state"), known.get("data")) != (state, own):
        return None
    if not rows or tuple(rows[0]) != COLUMNS or any(len(row) != len(COLUMNS) for row in rows):
        return None
    return {path: (name, predicted) for path, name, predicted, *_ in rows[1:]}


def file_names(split: str) -> tuple[str, str]:
    """Of the figures, and of the row a photo, in the run folder."""
    return f"evaluation-{split}.json", f"predictions-{split}.csv"


def _images(result: Evaluation) -> dict[str, Callable[[Path], None] | None]:
    """What to draw by name; None where there is nothing to show."""
    scores, names = result.scores, list(result.classes)
    title = f"{result.split}: {result.accuracy:.4f} of {result.count} images"
    how = "not calibrated" if result.calibration is None else "calibrated"
    worst, wrong = _worst(result), len(result.mistakes)
    mistakes = f"{result.split}: the {len(worst)} most confident of {wrong} mistakes"
    return {
        "confusion": partial(draw_confusion, result.confusion, names, title=title),
        "reliability": partial(draw_reliability, scores.reliability, title=f"{title}, {how}"),
        "roc-pr": partial(draw_ranking, scores.curves, names, title=title)
        if any(scores.curves)
        else None,
        "mistakes": partial(draw_mistakes, worst, title=mistakes) if worst else None,
    }


def _worst(result: Evaluation) -> list[Mistake]:
    files, names = result.samples.files(), list(result.classes)
    predicted = result.probabilities.argmax(axis=1)
    return [
        Mistake(
            load(files[row], THUMB),
            files[row].name,
            names[result.samples.labels[row]],
            names[predicted[row]],
            float(result.probabilities[row, predicted[row]]),
        )
        for row in result.mistakes[:WORST]
    ]


def _remove(file: Path) -> None:
    if not os.path.lexists(file):  # a read-only disk refuses to remove even what is not there
        return
    try:
        file.unlink(missing_ok=True)
    except OSError as error:
        raise RunError(f"Cannot remove {file}: {error.strerror}.") from None


def evaluation_json(result: Evaluation, files: Sequence[Path]) -> dict[str, Any]:
    """All figures, the worst mistakes, and the `files` written; docs/json.md shows the shape."""
    scores = result.scores
    return {
        "run": str(result.run),
        "state": result.state,
        "data": escape_name(result.samples.root.absolute()),
        "split": result.split,
        "count": result.count,
        "trained_on": result.trained_on,
        "loss": result.loss,
        "accuracy": result.accuracy,
        "balanced_accuracy": scores.balanced_accuracy,
        "macro_f1": scores.macro_f1,
        "matthews": scores.matthews,
        "top_k": {str(k): share for k, share in scores.top_k.items()},
        "calibration_error": scores.calibration_error,
        "calibration": result.calibration and result.calibration.model_dump(),
        "intervals": {
            "level": LEVEL,
            "resamples": RESAMPLES,
            "seed": SEED,
            **{name: list(ends) for name, ends in scores.intervals.items()},
        },
        "classes": _classes_json(result),
        "confusion": result.confusion.tolist(),
        "color": result.color.to_json(),
        "reliability": [asdict(one) for one in scores.reliability],
        "mistakes": _mistakes_json(result),
        "files": [str(file) for file in files],
    }


def _classes_json(result: Evaluation) -> dict[str, Any]:
    """Scores a class; areas are None where the class has no curves."""
    curves = result.scores.curves or [None] * len(result.classes)
    return {
        name: {
            **asdict(score),
            "roc_area": one and one.roc_area,
            "average_precision": one and one.average_precision,
        }
        for (name, score), one in zip(result.classes.items(), curves, strict=True)
    }


def _mistakes_json(result: Evaluation) -> list[dict[str, Any]]:
    names, samples = list(result.classes), result.samples
    predicted = result.probabilities.argmax(axis=1)
    return [
        {
            "path": samples.paths[row],
            "class": names[samples.labels[row]],
            "predicted": names[predicted[row]],
            "probability": float(result.probabilities[row, predicted[row]]),
        }
        for row in result.mistakes[:WORST]
    ]


def predictions_csv(result: Evaluation) -> str:
    """`path,class,predicted,probability,class_probability`, a row a photo, in their order.

    `probability` is that of the class predicted, `class_probability` that of the true one.
    """
    out, names = io.StringIO(), list(result.classes)
    # every text quoted: a bare "\r" in a file name is not, before Python 3.13, where it must be
    writer = csv.writer(out, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
    writer.writerow(COLUMNS)
    labels, probabilities = np.array(result.samples.labels), result.probabilities
    for path, label, row in zip(result.samples.paths, labels, probabilities, strict=True):
        called = int(row.argmax())
        figures = (float(row[called]), float(row[label]))
        writer.writerow((path, names[label], names[called], *figures))
    return out.getvalue()
