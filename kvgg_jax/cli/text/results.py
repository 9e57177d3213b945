"""Results as a person reads them (tables on stdout) and as a program does (`--json`, CSV)."""

from __future__ import annotations

import csv
import sys
from collections.abc import Sequence
from dataclasses import asdict
from shlex import quote
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from kvgg_jax.cli.console import print_line
from kvgg_jax.core.text import duration, escape_name, printable, program

if TYPE_CHECKING:
    from kvgg_jax.export.exporter import Export
    from kvgg_jax.inference.prediction import Prediction
    from kvgg_jax.training.benchmark import Bench
    from kvgg_jax.training.search.crossval import Crossval
    from kvgg_jax.training.trainer import TrainResult


def train_json(result: TrainResult) -> dict[str, Any]:
    """`{"run", "best": {...}, "epochs", "seconds", "images_per_second"}`."""
    best = result.history.best
    assert best is not None, "a finished run has an epoch"
    names = ("epoch", "accuracy", "loss", "val_accuracy", "val_loss")
    return {
        "run": str(result.run),
        "best": {name: getattr(best, name) for name in names},
        "epochs": len(result.history),
        "seconds": round(result.history.seconds, 3),
        "images_per_second": round(result.images_per_second, 3),
    }


def train_text(result: TrainResult) -> None:
    """Best epoch, time, where things are, and the next command to type."""
    best, run, console = result.history.best, result.run, Console()
    assert best is not None, "a finished run has an epoch"
    print_line(
        console,
        f"Best epoch {best.epoch} of {len(result.history)}: validation accuracy "
        f"{best.val_accuracy:.4f}, loss {best.val_loss:.4f} "
        f"({duration(result.history.seconds)}, {result.images_per_second:.1f} images/s)",
        "bold",
    )
    print_line(
        console, f"Run folder: {run} (curves.png, history.csv, samples.png, checkpoints/best)"
    )
    print_line(console, f"Next: {program()} evaluate --run {quote(str(run))}")
    print_line(console, f"      {program()} predict --run {quote(str(run))} IMAGE")


def crossval_text(result: Crossval) -> None:
    """A row a fold, mean and standard deviation, and where it is."""
    console = Console()
    table = Table("fold", "training", "validation", "best epoch", "accuracy", "loss", "time")
    for column in table.columns:
        column.justify = "right"
    for fold in result.folds:
        counts = (fold.fold, fold.train, fold.val, fold.epoch)
        figures = (f"{fold.val_accuracy:.4f}", f"{fold.val_loss:.4f}", duration(fold.seconds))
        table.add_row(*map(str, counts), *figures)
    console.print(table)
    mean, sd = result.mean("val_accuracy"), result.sd("val_accuracy")
    print_line(console, f"Validation accuracy {mean:.4f}, standard deviation {sd:.4f}", "bold")
    print_line(console, f"Folds, crossval.json and crossval.csv: {result.path}")


def predictions_csv(found: Sequence[Prediction], *, top: int) -> None:
    """`path,rank,class,probability,error` rows on stdout; a bad file has one, of path and error."""
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(("path", "rank", "class", "probability", "error"))
    for one in found:
        path = printable(str(one.path))
        for rank, (name, probability) in enumerate(one.top[:top], 1):
            writer.writerow((path, rank, printable(name), f"{probability:.6f}", ""))
        if one.error:
            writer.writerow((path, "", "", "", printable(one.error)))


def predictions_text(found: Sequence[Prediction], *, top: int) -> None:
    """One line per file: path, then classes with their probabilities."""
    console = Console()
    for one in found:
        if not one.error:
            classes = "  ".join(f"{escape_name(name)} {p:.1%}" for name, p in one.top[:top])
            doubt = f"unsure (below {one.unsure_below:.1%}): " if one.unsure else ""
            print_line(console, f"{escape_name(one.path)}: {doubt}{classes}")


def export_json(result: Export) -> dict[str, Any]:
    """The result; `temperature` and `int8` are null where there is none."""
    return {
        "run": str(result.run),
        "path": str(result.path),
        "format": result.format,
        "bytes": result.size,
        "temperature": result.temperature,
        "max_difference": result.difference,
        "seconds": round(result.seconds, 3),
        "int8": asdict(result.int8) if result.int8 else None,
    }


def export_text(result: Export) -> None:
    """Where it is, how far its probabilities are from those of `predict`, and what int8 costs."""
    console = Console()
    at = f", calibrated (temperature {result.temperature:.3f})" if result.temperature else ""
    print_line(
        console, f"Wrote {result.path}: {result.format}, {result.size / 1e6:.1f} MB{at}", "bold"
    )
    if result.int8 is None:
        print_line(console, f"Read back: the probabilities of predict, to {result.difference:.1e}")
        return
    cost = result.int8
    print_line(
        console,
        f"int8: accuracy {cost.accuracy:.4f} on {cost.count} validation photos, "
        f"{cost.float_accuracy:.4f} in float32; a probability differs by {result.difference:.1e} "
        "at most",
    )


def bench_json(result: Bench) -> dict[str, Any]:
    """All figures, and the shares of the matrix-multiply peak."""
    shares = {"train_share": result.train_share, "forward_share": result.forward_share}
    return {**asdict(result), **shares}


def bench_text(result: Bench) -> None:
    """A line a figure."""
    console, size = Console(), f"{result.batch_size} images of {result.image_size} px"
    print_line(console, f"{result.device}, {size}", "bold")
    peak = result.matmul_flops_per_second
    for name, seconds, speed, share in (
        ("training step", result.train_step_seconds, result.train_flops_per_second, "train"),
        ("forward pass", result.forward_seconds, result.forward_flops_per_second, "forward"),
    ):
        print_line(
            console,
            f"{name}: {seconds:.3f} s, {result.batch_size / seconds:.1f} images/s, "
            f"{speed / 1e9:.0f} GFLOP/s, {getattr(result, f'{share}_share'):.0%} of the peak",
        )
    print_line(console, f"matrix multiply (the peak): {peak / 1e9:.0f} GFLOP/s")
    print_line(console, f"pipeline: {result.pipeline_images_per_second:,.0f} images/s")
    print_line(
        console, f"compiling: {result.compile_seconds:.1f} s; memory: {result.peak_mib:,.0f} MiB"
    )
