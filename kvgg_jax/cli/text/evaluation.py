"""An evaluation as a person reads it: tables on stdout."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from kvgg_jax.cli.console import print_line
from kvgg_jax.core.text import escape_name
from kvgg_jax.data.audit.sentences import color_text
from kvgg_jax.evaluation.record import BINS, LEVEL, all_right_text, figure_rows, probabilities_text

if TYPE_CHECKING:
    from kvgg_jax.evaluation.record import EvaluationRecord

FIRST = 14  # characters that the first column of the confusion matrix needs


def evaluation_text(result: EvaluationRecord) -> None:
    """The figures, scores per class, the confusion matrix, and where the pictures are."""
    console = Console()
    print_line(
        console,
        f"{result.run} on {result.count} images ({result.split}): "
        f"accuracy {result.accuracy:.4f} ({result.right} right), loss {result.loss:.4f}",
        "bold",
    )
    print_line(console, probabilities_text(result))
    print_line(console, color_text(result.color))
    figures = Table("figure", "value", f"{LEVEL:.0%} interval")
    figures.columns[1].justify = "right"
    also = (f"calibration error ({BINS} bins)", result.calibration_error)
    for row in figure_rows(result, also):
        figures.add_row(*row)
    console.print(figures)
    if result.right == result.count:
        print_line(console, all_right_text(result.count))
    console.print(_scores(result))
    console.print(_confusion(result, console))
    if result.files:
        names = ", ".join(Path(file).name for file in result.files)
        print_line(console, f"Wrote to {result.run}: {names}")


def cell(text: str, style: str = "") -> Text:
    """For a table: names as they are, no markup."""
    return Text(escape_name(text), style)


def _scores(result: EvaluationRecord) -> Table:
    table = Table("class", "precision", "recall", "F1", "images")
    for column in table.columns[1:]:
        column.justify = "right"
    for name, score in result.classes.items():
        figures = (score.precision, score.recall, score.f1)
        shares = ("-" if figure is None else f"{figure:.4f}" for figure in figures)
        table.add_row(cell(name), *shares, str(score.count))
    return table


def _confusion(result: EvaluationRecord, console: Console) -> Table:
    """Or the pairs that are mixed up most often, where the console is too narrow for all."""
    widths = [len(str(max(column))) for column in zip(*result.confusion, strict=True)]
    if FIRST + sum(width + 3 for width in widths) <= console.width:  # 3 are padding and line
        return _matrix(result, widths)
    table = Table("true", "predicted", "images", title="Mixed up most often")
    table.columns[2].justify = "right"
    for true, called, count in result.confused:
        table.add_row(cell(true), cell(called), f"{count:,}")
    return table


def _matrix(result: EvaluationRecord, widths: Sequence[int]) -> Table:
    """Names are folded where the console is narrow; counts of these widths are not."""
    table = Table(title="Confusion matrix")
    table.add_column("true \\ predicted", overflow="fold")
    for name, width in zip(result.classes, widths, strict=True):
        table.add_column(cell(name), justify="right", min_width=width, overflow="fold")
    for k, (name, row) in enumerate(zip(result.classes, result.confusion, strict=True)):
        cells = [cell(str(n), _shade(n, j == k)) for j, n in enumerate(row)]
        table.add_row(cell(name), *cells)
    return table


def _shade(count: int, right: bool) -> str:
    return "green" if right else "red" if count else "dim"
