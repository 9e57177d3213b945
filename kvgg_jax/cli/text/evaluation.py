"""An evaluation as text."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from kvgg_jax.cli.output import cell, print_line, print_table
from kvgg_jax.core.text import figure
from kvgg_jax.data.audit.sentences import color_text
from kvgg_jax.evaluation.record import BINS, LEVEL, all_right_text, figure_rows, probabilities_text
from kvgg_jax.evaluation.unknown import RECALL, unknown_rows, unknown_text

if TYPE_CHECKING:
    from kvgg_jax.evaluation.record import EvaluationRecord

FIRST = 14  # characters that the first column of the confusion matrix needs


def evaluation_text(result: EvaluationRecord) -> None:
    """The metrics, the scores per class, the confusion matrix, and the files written."""
    print_line(
        f"{result.run} on {result.count} images ({result.split}): "
        f"accuracy {result.accuracy:.4f} ({result.right} right), loss {result.loss:.4f}",
        "bold",
    )
    print_line(probabilities_text(result))
    print_line(color_text(result.color))
    also = (f"calibration error ({BINS} bins)", result.calibration_error)
    headers = ("metric", "value", f"{LEVEL:.0%} interval")
    print_table(headers, figure_rows(result, also), right=slice(1, 2))
    if result.right == result.count:
        print_line(all_right_text(result.count))
    _scores(result)
    _confusion(result)
    if result.unknown is not None:
        print_line(unknown_text(result.unknown))
        headers = ("score", "ROC area", f"passes at {RECALL:.0%} recall")
        print_table(headers, unknown_rows(result.unknown), right=slice(1, None))
    if result.files:
        names = ", ".join(Path(file).name for file in result.files)
        print_line(f"Wrote to {result.run}: {names}")


def _scores(result: EvaluationRecord) -> None:
    rows = (
        (name, *(figure(share, ".4f") for share in (of.precision, of.recall, of.f1)), f"{of.count}")
        for name, of in result.classes.items()
    )
    print_table(("class", "precision", "recall", "F1", "images"), rows, right=slice(1, None))


def _confusion(result: EvaluationRecord) -> None:
    """The matrix, or the pairs confused most often where the terminal is too narrow."""
    console = Console()
    if FIRST + 4 * len(result.classes) <= console.width:  # before millions of cells are looked at
        widths = [len(str(max(column))) for column in zip(*result.confusion, strict=True)]
        if FIRST + sum(width + 3 for width in widths) <= console.width:  # 3 are padding and line
            console.print(_matrix(result, widths))
            return
    rows = ((true, called, f"{count:,}") for true, called, count in result.confused)
    headers = ("true", "predicted", "images")
    print_table(headers, rows, right=slice(2, 3), title="Confused most often")


def _matrix(result: EvaluationRecord, widths: Sequence[int]) -> Table:
    """Names are folded where the terminal is narrow; counts are not."""
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
