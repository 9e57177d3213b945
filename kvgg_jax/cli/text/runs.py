"""Runs in a list, or side by side, as a person reads them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from kvgg_jax.cli.console import print_line
from kvgg_jax.core.text import duration, escape_name
from kvgg_jax.runs.listing import DamagedRun, RunSummary

if TYPE_CHECKING:
    from kvgg_jax.evaluation.comparison import Comparison, Pair


def runs_text(found: Sequence[RunSummary | DamagedRun]) -> None:
    """A line a run, the newest last."""
    table = Table(
        "run",
        "status",
        "epochs",
        "accuracy",
        "params",
        "time",
        "px",
        "created",
        box=None,
        padding=(0, 1, 0, 0),
    )
    for column in table.columns[2:7]:
        column.justify = "right"
    for one in found:
        table.add_row(*map(Text, _row(one)))
    Console().print(table)


def _row(one: RunSummary | DamagedRun) -> list[str]:
    if isinstance(one, DamagedRun):
        return [escape_name(one.path.name), "damaged"]
    best = one.history.best
    return [
        escape_name(one.path.name),
        escape_name(one.status),
        f"{len(one.history)}/{one.config.train.epochs}",
        f"{best.val_accuracy:.4f}" if best else "",
        f"{one.params / 1e6:.1f} M",
        duration(one.history.seconds),
        str(one.config.image_size),
        escape_name(one.info.get("created"))[:10],
    ]


def comparison_text(result: Comparison) -> None:
    """Figures and differing settings, a column a run; then a sentence a pair."""
    console, table = Console(), Table("")
    for name in result.names:
        table.add_column(Text(escape_name(name)), justify="right")
    for label, *cells in zip(LABELS, *map(_column, result.runs), strict=True):
        table.add_row(label, *map(Text, cells))
    for key, values in result.differences.items():
        table.add_row(
            key, *(Text("none" if v is None else escape_name(v), "yellow") for v in values)
        )
    console.print(table)
    for pair in result.pairs:
        print_line(console, pair_text(pair))
    if len(result.pairs) > 1:
        print_line(console, "p is adjusted for the number of pairs (Holm).")
    if result.chart:
        print_line(console, f"Curves: {result.chart}")


LABELS = (
    *("status", "validation accuracy", "validation loss", "best epoch", "parameters"),
    *("training time", "images/s", "device"),
)


def _column(one: RunSummary) -> list[str]:
    best, speed = one.history.best, one.history.images_per_second
    return [
        escape_name(one.status),
        f"{best.val_accuracy:.4f}" if best else "",
        f"{best.val_loss:.4f}" if best else "",
        f"{best.epoch} of {len(one.history)}" if best else "",
        f"{one.params:,}",
        duration(one.history.seconds),
        f"{speed:.1f}" if speed else "",
        escape_name(one.device),
    ]


def pair_text(pair: Pair) -> str:
    """What McNemar's test says, in plain words."""
    first, second = escape_name(pair.first), escape_name(pair.second)
    if pair.p is None:
        return f"{first} and {second} are not tested: {pair.reason}"
    counts = (
        f"of {pair.count} images, {first} alone is right on {pair.only_first} and {second} alone "
        f"on {pair.only_second} (McNemar's test, p = {pair.p:.3g})"
    )
    if pair.differs:
        better, worse = (first, second) if pair.only_first > pair.only_second else (second, first)
        return f"{better} is better than {worse}: {counts}."
    if pair.has_too_few:
        return f"No difference shown: {counts}. So few cannot show one."
    return f"No difference shown: {counts}."
