"""Results as a person reads them (tables on stdout) and as a program does (`--json`, CSV)."""

from __future__ import annotations

import csv
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from kvgg_jax.console import duration, printable, program, say
from kvgg_jax.errors import shown

if TYPE_CHECKING:
    from kvgg_jax.bench import Bench
    from kvgg_jax.inference import Evaluation, Prediction
    from kvgg_jax.training import TrainResult


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
    say(
        console,
        f"Best epoch {best.epoch} of {len(result.history)}: validation accuracy "
        f"{best.val_accuracy:.4f}, loss {best.val_loss:.4f} "
        f"({duration(result.history.seconds)}, {result.images_per_second:.1f} images/s)",
        "bold",
    )
    say(console, f"Run folder: {run} (curves.png, history.csv, samples.png, checkpoints/best)")
    say(console, f"Next: {program()} evaluate --run {quote(str(run))}")
    say(console, f"      {program()} predict --run {quote(str(run))} IMAGE")


def evaluation_json(result: Evaluation) -> dict[str, Any]:
    """`{"run", "split", "count", "loss", "accuracy", "classes": {...}, "confusion": [[...]]}`."""
    return {
        "run": str(result.run),
        "split": result.split,
        "count": result.count,
        "loss": result.loss,
        "accuracy": result.accuracy,
        "classes": {name: asdict(score) for name, score in result.classes.items()},
        "confusion": result.confusion.tolist(),
    }


def evaluation_text(result: Evaluation, picture: Path) -> None:
    """Scores a class, and the confusion matrix."""
    console = Console()
    right = int(result.confusion.trace())
    say(
        console,
        f"{result.run} on {result.count} images ({result.split}): "
        f"accuracy {result.accuracy:.4f} ({right} right), loss {result.loss:.4f}",
        "bold",
    )
    console.print(_scores(result))
    console.print(_confusion(result))
    say(console, f"Confusion matrix as a picture: {picture}")


def _cell(text: str, style: str = "") -> Text:
    return Text(shown(text), style)


def _scores(result: Evaluation) -> Table:
    table = Table("class", "precision", "recall", "F1", "images")
    for column in table.columns[1:]:
        column.justify = "right"
    for name, score in result.classes.items():
        figures = (score.precision, score.recall, score.f1)
        shares = ("-" if figure is None else f"{figure:.4f}" for figure in figures)
        table.add_row(_cell(name), *shares, str(score.count))
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


def save_confusion(result: Evaluation) -> Path:
    """Draw `confusion-<split>.png` into the run folder. Raises RunError when it cannot."""
    from kvgg_jax.charts import draw_confusion

    file = result.run / f"confusion-{result.split}.png"
    title = f"{result.split}: {result.accuracy:.4f} of {result.count} images"
    draw_confusion(result.confusion, list(result.classes), file, title=title)
    return file


def predictions_json(found: Sequence[Prediction], *, top: int) -> list[dict[str, Any]]:
    """`{"path", "class", "probability", "top": [...]}` each; `{"path", "error"}` for a bad file."""
    return [
        {"path": str(one.path), "error": one.error}
        if one.error
        else {
            "path": str(one.path),
            "class": one.label,
            "probability": one.probability,
            "top": [{"class": name, "probability": p} for name, p in one.top[:top]],
        }
        for one in found
    ]


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
    """One line a file: path, then classes with their probabilities."""
    console = Console()
    for one in found:
        if not one.error:
            classes = "  ".join(f"{shown(name)} {p:.1%}" for name, p in one.top[:top])
            say(console, f"{shown(one.path)}: {classes}")


def bench_json(result: Bench) -> dict[str, Any]:
    """All figures, and the shares of the matrix-multiply peak."""
    shares = {"train_share": result.train_share, "forward_share": result.forward_share}
    return {**asdict(result), **shares}


def bench_text(result: Bench) -> None:
    """A line a figure."""
    console, size = Console(), f"{result.batch_size} pictures of {result.image_size} px"
    say(console, f"{result.device}, {size}", "bold")
    peak = result.matmul_flops_per_second
    for name, seconds, speed, share in (
        ("training step", result.train_step_seconds, result.train_flops_per_second, "train"),
        ("forward pass", result.forward_seconds, result.forward_flops_per_second, "forward"),
    ):
        say(
            console,
            f"{name}: {seconds:.3f} s, {result.batch_size / seconds:.1f} images/s, "
            f"{speed / 1e9:.0f} GFLOP/s, {getattr(result, f'{share}_share'):.0%} of the peak",
        )
    say(console, f"matrix multiply (the peak): {peak / 1e9:.0f} GFLOP/s")
    say(console, f"pipeline: {result.pipeline_images_per_second:,.0f} images/s")
    say(console, f"compiling: {result.compile_seconds:.1f} s; memory: {result.peak_mib:,.0f} MiB")
