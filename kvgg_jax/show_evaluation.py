"""An evaluation as a person reads it (tables on stdout) and as a program does (`--json`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from kvgg_jax.console import say
from kvgg_jax.errors import shown
from kvgg_jax.record import WORST
from kvgg_jax.scores import BINS, LEVEL, RESAMPLES, SEED

if TYPE_CHECKING:
    from kvgg_jax.inference import Evaluation


def evaluation_json(result: Evaluation, files: Sequence[Path]) -> dict[str, Any]:
    """All figures, the worst mistakes, and the `files` written; docs/json.md shows the shape."""
    scores = result.scores
    return {
        "run": str(result.run),
        "split": result.split,
        "count": result.count,
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


def evaluation_text(result: Evaluation, files: Sequence[Path]) -> None:
    """The figures, scores a class, the confusion matrix, and where the pictures are."""
    console = Console()
    right = int(result.confusion.trace())
    say(
        console,
        f"{result.run} on {result.count} images ({result.split}): "
        f"accuracy {result.accuracy:.4f} ({right} right), loss {result.loss:.4f}",
        "bold",
    )
    say(console, _probabilities(result))
    console.print(_figures(result))
    if right == result.count:
        say(console, _all_right(result.count))
    console.print(_scores(result))
    console.print(_confusion(result))
    say(console, f"Wrote to {result.run}: {', '.join(file.name for file in files)}")


def _probabilities(result: Evaluation) -> str:
    of = result.calibration
    if of is None:
        return "Probabilities: the network's own"
    text = (
        f"Probabilities: calibrated, temperature {of.temperature:.3f}, fitted on {of.count} images"
    )
    if of.data != shown(result.samples.root.absolute()):
        return f"{text} of {of.data}"
    if of.split != result.split:
        return f"{text} ({of.split})"
    return f"{text}, these very ones: loss and calibration error are flattered"


def _all_right(count: int) -> str:
    """The bootstrap cannot tell here: it never draws a mistake that was not made."""
    most = 1 - (1 - LEVEL) ** (1 / count)  # Clopper & Pearson 1934, one-sided, for none of `count`
    return (
        f"All are right, which {count} images show to no better than this: "
        f"up to {most:.1%} of such pictures may still be called wrongly."
    )


def _figures(result: Evaluation) -> Table:
    scores, table = result.scores, Table("figure", "value", f"{LEVEL:.0%} interval")
    table.columns[1].justify = "right"
    areas = [one.roc_area for one in scores.curves if one]
    for label, value, name in (
        ("accuracy", result.accuracy, "accuracy"),
        ("balanced accuracy", scores.balanced_accuracy, "balanced_accuracy"),
        ("macro F1", scores.macro_f1, "macro_f1"),
        ("Matthews correlation", scores.matthews, "matthews"),
        *((f"top-{k} accuracy", share, "") for k, share in scores.top_k.items()),
        (f"calibration error ({BINS} bins)", scores.calibration_error, ""),
        *([("ROC area, mean of classes", mean(areas), "")] if areas else []),
    ):
        ends = scores.intervals.get(name)
        between = f"{ends[0]:.4f} to {ends[1]:.4f}" if ends else ""
        table.add_row(label, f"{value:.4f}", between)
    return table


def _cell(text: str, style: str = "") -> Text:
    return Text(shown(text), style)


def _scores(result: Evaluation) -> Table:
    table = Table("class", "precision", "recall", "F1", "images")
    for column in table.columns[1:]:
        column.justify = "right"
    for name, score in result.classes.items():
        figures = (score.precision, score.recall, score.f1)
        table.add_row(_cell(name), *(f"{figure:.4f}" for figure in figures), str(score.count))
    return table


def _confusion(result: Evaluation) -> Table:
    table = Table("true \\ predicted", title="Confusion matrix")
    for name in result.classes:
        table.add_column(_cell(name), justify="right")
    for k, (name, row) in enumerate(zip(result.classes, result.confusion.tolist(), strict=True)):
        cells = [_cell(str(n), _shade(n, j == k)) for j, n in enumerate(row)]
        table.add_row(_cell(name), *cells)
    return table


def _shade(count: int, right: bool) -> str:
    return "green" if right else "red" if count else "dim"
