"""Trainings, predictions, exports and timings as text, JSON and CSV."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from shlex import quote
from typing import TYPE_CHECKING, Any

from kvgg_jax.cli.output import print_line, print_table
from kvgg_jax.core.history import title
from kvgg_jax.core.text import duration, escape_name, program

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
        "monitor": result.history.monitor,
        "best": {**{name: getattr(best, name) for name in names}, **best.extra},
        "epochs": len(result.history),
        "seconds": round(result.history.seconds, 3),
        "images_per_second": round(result.images_per_second, 3),
    }


def train_text(result: TrainResult) -> None:
    """The best epoch, the time, the files, and the next commands."""
    best, run = result.history.best, result.run
    assert best is not None, "a finished run has an epoch"
    print_line(
        f"Best epoch {best.epoch} of {len(result.history)}: validation "
        f"{best.describe(result.history.monitor, 'accuracy', 'loss')} "
        f"({duration(result.history.seconds)}, {result.images_per_second:.1f} images/s)",
        "bold",
    )
    print_line(f"Run folder: {run} (curves.png, history.csv, samples.png, checkpoints/best)")
    print_line(f"Next: {program()} evaluate --run {quote(str(run))}")
    print_line(f"      {program()} predict --run {quote(str(run))} IMAGE")


def crossval_text(result: Crossval) -> None:
    """A row per fold, mean and standard deviation, and the files."""
    figures = result.figures
    named = (title(name) for name in figures.values())
    rows = [
        (
            *map(str, (fold.fold, fold.train, fold.val, fold.epoch)),
            *(f"{getattr(fold, column):.4f}" for column in figures),
            duration(fold.seconds),
        )
        for fold in result.folds
    ]
    print_table(
        ("fold", "training", "validation", "best epoch", *named, "time"), rows, right=slice(None)
    )
    shown = [column for column, name in figures.items() if name in (result.monitor, "accuracy")]
    for column in reversed(shown):  # what is monitored comes first
        mean, sd = result.mean(column), result.sd(column)
        name = title(figures[column])
        print_line(f"Validation {name} {mean:.4f}, standard deviation {sd:.4f}", "bold")
    print_line(f"Folds, crossval.json and crossval.csv: {result.path}")


def predictions_text(found: Sequence[Prediction], *, top: int) -> None:
    """A line per file: its path, then classes with their probabilities."""
    for one in found:
        if not one.error:
            classes = "  ".join(f"{escape_name(name)} {p:.1%}" for name, p in one.top[:top])
            print_line(f"{escape_name(one.path)}: {_doubt(one)}{classes}")


def _doubt(one: Prediction) -> str:
    """What comes before the classes of a photo where they are not to be trusted."""
    if one.unknown and one.typicality is not None:
        return f"unknown (typicality {one.typicality:.1%}, below {one.unknown_below:.1%}): "
    return f"unsure (below {one.unsure_below:.1%}): " if one.unsure else ""


def export_json(result: Export) -> dict[str, Any]:
    """The result; `temperature` and `int8` are null where there is none."""
    return {
        "run": str(result.run),
        "path": str(result.path),
        "format": result.format,
        "bytes": result.size,
        "temperature": result.temperature,
        "unknown_below": result.unknown_below,
        "max_difference": result.difference,
        "seconds": round(result.seconds, 3),
        "int8": asdict(result.int8) if result.int8 else None,
    }


def export_text(result: Export) -> None:
    """The file, how far its probabilities are from those of `predict`, and what int8 costs."""
    at = f", calibrated (temperature {result.temperature:.3f})" if result.temperature else ""
    at += ", tells unknown photos" if result.unknown_below is not None else ""
    print_line(f"Wrote {result.path}: {result.format}, {result.size / 1e6:.1f} MB{at}", "bold")
    if cost := result.int8:
        print_line(
            f"int8: accuracy {cost.accuracy:.4f} on {cost.count} validation photos, "
            f"{cost.float_accuracy:.4f} in float32; a probability differs by at most "
            f"{result.difference:.1e}"
        )
    else:
        print_line(
            "Read back: probabilities differ from those of predict by at most "
            f"{result.difference:.1e}"
        )


def bench_json(result: Bench) -> dict[str, Any]:
    """All figures, and the shares of the matrix-multiply peak."""
    shares = {"train_share": result.train_share, "forward_share": result.forward_share}
    return {**asdict(result), **shares}


def bench_text(result: Bench) -> None:
    """A line per figure."""
    batch = result.batch_size
    print_line(f"{result.device}, {batch} images of {result.image_size} px", "bold")
    for name, kind, seconds in (
        ("training step", "train", result.train_step_seconds),
        ("forward pass", "forward", result.forward_seconds),
    ):
        flops = getattr(result, f"{kind}_flops_per_second")
        share = getattr(result, f"{kind}_share")
        print_line(
            f"{name}: {seconds:.3f} s, {batch / seconds:.1f} images/s, "
            f"{flops / 1e9:.0f} GFLOP/s, {share:.0%} of the peak"
        )
    print_line(f"matrix multiply (the peak): {result.matmul_flops_per_second / 1e9:.0f} GFLOP/s")
    print_line(f"pipeline: {result.pipeline_images_per_second:,.0f} images/s")
    print_line(f"3x3 convolutions: {result.convolutions}")
    print_line(f"compiling: {result.compile_seconds:.1f} s; memory: {result.peak_mib:,.0f} MiB")
