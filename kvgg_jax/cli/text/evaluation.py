"""An evaluation as a person reads it: tables on stdout."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from kvgg_jax.cli.console import print_line
from kvgg_jax.core.text import escape_name
from kvgg_jax.data.audit.sentences import color_text
from kvgg_jax.evaluation.confusion import confused
from kvgg_jax.evaluation.metrics import BINS, LEVEL
from kvgg_jax.evaluation.sentences import all_right_text, probabilities_text

if TYPE_CHECKING:
    from kvgg_jax.evaluation.evaluate import Evaluation

FIRST = 14  # characters that the first column of the confusion matrix needs


def evaluation_text(result: Evaluation, files: Sequence[Path]) -> None:
    """The figures, scores a class, the confusion matrix, and where the pictures are."""
    console = Console()
    right = int(result.confusion.trace())
    print_line(
        console,
        f"{result.run} on {result.count} images ({result.split}): "
        f"accuracy {result.accuracy:.4f} ({right} right), loss {result.loss:.4f}",
        "bold",
    )
    root = escape_name(result.samples.root.absolute())
    print_line(console, probabilities_text(result.calibration, data=root, split=result.split))
    print_line(console, color_text(result.color))
    console.print(_figures(result))
    if right == result.count:
        print_line(console, all_right_text(result.count))
    console.print(_scores(result))
    console.print(_confusion(result, console))
    if files:
        print_line(console, f"Wrote to {result.run}: {', '.join(file.name for file in files)}")


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


def cell(text: str, style: str = "") -> Text:
    """For a table: names as they are, no markup."""
    return Text(escape_name(text), style)


def _scores(result: Evaluation) -> Table:
    table = Table("class", "precision", "recall", "F1", "images")
    for column in table.columns[1:]:
        column.justify = "right"
    for name, score in result.classes.items():
        figures = (score.precision, score.recall, score.f1)
        shares = ("-" if figure is None else f"{figure:.4f}" for figure in figures)
        table.add_row(cell(name), *shares, str(score.count))
    return table


def _confusion(result: Evaluation, console: Console) -> Table:
    """Or the pairs that are mixed up most often, where the console is too narrow for all."""
    widths = [len(str(column.max())) for column in result.confusion.T]
    if FIRST + sum(width + 3 for width in widths) <= console.width:  # 3 are padding and line
        return _matrix(result, widths)
    names = list(result.classes)
    table = Table("true", "predicted", "images", title="Mixed up most often")
    table.columns[2].justify = "right"
    for true, called, count in confused(result.confusion):
        table.add_row(cell(names[true]), cell(names[called]), f"{count:,}")
    return table


def _matrix(result: Evaluation, widths: Sequence[int]) -> Table:
    """Names are folded where the console is narrow; counts of these widths are not."""
    table = Table(title="Confusion matrix")
    table.add_column("true \\ predicted", overflow="fold")
    for name, width in zip(result.classes, widths, strict=True):
        table.add_column(cell(name), justify="right", min_width=width, overflow="fold")
    for k, (name, row) in enumerate(zip(result.classes, result.confusion.tolist(), strict=True)):
        cells = [cell(str(n), _shade(n, j == k)) for j, n in enumerate(row)]
        table.add_row(cell(name), *cells)
    return table


def _shade(count: int, right: bool) -> str:
    return "green" if right else "red" if count else "dim"
