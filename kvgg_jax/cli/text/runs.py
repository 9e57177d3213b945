"""Runs as text: in a list, or side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from kvgg_jax.cli.output import cell, print_line, print_table
from kvgg_jax.core.history import MONITORS, Epoch
from kvgg_jax.core.text import duration, escape_name
from kvgg_jax.runs.listing import DamagedRun, RunSummary

if TYPE_CHECKING:
    from kvgg_jax.evaluation.comparison import Comparison, Pair


LIST = ("run", "status", "epochs", "accuracy", "params", "time", "px", "created")
LABELS = (
    *("status", "validation accuracy", "validation loss", "best epoch", "parameters"),
    *("training time", "images/s", "device"),
)


def runs_text(found: Sequence[RunSummary | DamagedRun]) -> None:
    """A row per run, the newest last."""
    print_table(LIST, map(_row, found), right=slice(2, 7), box=None, padding=(0, 1, 0, 0))


def _row(one: RunSummary | DamagedRun) -> list[str]:
    if isinstance(one, DamagedRun):
        return [one.path.name, "damaged"]
    best = one.history.best
    return [
        one.path.name,
        one.status,
        f"{len(one.history)}/{one.epochs}",
        f"{best.val_accuracy:.4f}{_by(one, best)}" if best else "",
        f"{one.params / 1e6:.1f} M",
        duration(one.history.seconds),
        str(one.config.image_size),
        str(one.info.get("created"))[:10],
    ]


def _by(one: RunSummary, best: Epoch) -> str:
    """What has decided that the epoch is the best, unless that is the accuracy."""
    monitor = one.history.monitor
    return "" if monitor == MONITORS[0] else f" ({best.describe(monitor)})"


def comparison_text(result: Comparison) -> None:
    """Metrics and differing settings in a column per run, then a sentence per pair."""
    rows = [*zip(LABELS, *map(_column, result.runs), strict=True)]
    for key, values in result.differences.items():
        shown = ("none" if value is None else str(value) for value in values)
        rows.append((key, *(cell(value, "yellow") for value in shown)))
    print_table(("", *result.names), rows, right=slice(1, None))
    for pair in result.pairs:
        print_line(pair_text(pair))
    if len(result.pairs) > 1:
        print_line("p is adjusted for the number of pairs (Holm).")
    if result.chart:
        print_line(f"Curves: {result.chart}")


def _column(one: RunSummary) -> list[str]:
    best, speed = one.history.best, one.history.images_per_second
    return [
        one.status,
        f"{best.val_accuracy:.4f}" if best else "",
        f"{best.val_loss:.4f}" if best else "",
        f"{best.epoch} of {len(one.history)}{_by(one, best)}" if best else "",
        f"{one.params:,}",
        duration(one.history.seconds),
        f"{speed:.1f}" if speed else "",
        str(one.device),
    ]


def pair_text(pair: Pair) -> str:
    """The result of McNemar's test in plain words."""
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
