"""What an evaluation leaves in the run folder: pictures, and a row a photo."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from kvgg_jax.charts import draw_confusion
from kvgg_jax.data.image import load
from kvgg_jax.errors import RunError
from kvgg_jax.evaluation_charts import (
    Mistake,
    draw_mistakes,
    draw_ranking,
    draw_reliability,
)
from kvgg_jax.inference import Evaluation
from kvgg_jax.runs import Run

WORST = 24  # mistakes in the gallery and in `--json`
THUMB = 160  # pixels a side in the gallery
COLUMNS = ("path", "class", "predicted", "probability", "class_probability")


def keep(result: Evaluation) -> list[Path]:
    """Write `<what>-<split>.png` and `predictions-<split>.csv` into the run folder; say which.

    A picture that there is no reason for (no mistakes, too many classes for curves) is removed if
    an earlier evaluation left one. Raises RunError when one cannot be written.
    """
    kept = []
    for what, draw in _pictures(result).items():
        file = result.run / f"{what}-{result.split}.png"
        if draw is None:
            _remove(file)
        else:
            draw(file)
            kept.append(file)
    table = f"predictions-{result.split}.csv"
    Run(result.run).write(table, predictions_csv(result))
    return [*kept, result.run / table]


def _pictures(result: Evaluation) -> dict[str, Callable[[Path], None] | None]:
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
    try:
        file.unlink(missing_ok=True)
    except OSError as error:
        raise RunError(f"Cannot remove {file}: {error.strerror}.") from None


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
