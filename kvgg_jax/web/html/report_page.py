"""The page of `kvgg report`: its sections, and the sentences, rows and charts that fill them."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from shlex import quote
from typing import Any

from kvgg_jax.core.config import RunConfig, settings
from kvgg_jax.core.history import Epoch, History, title
from kvgg_jax.core.process import __version__
from kvgg_jax.core.tables.model import ModelConfig
from kvgg_jax.core.text import duration, escape_name
from kvgg_jax.data.audit.findings import Check
from kvgg_jax.data.audit.sentences import color_text, facts
from kvgg_jax.data.split import Split
from kvgg_jax.evaluation.mistakes import Seen
from kvgg_jax.evaluation.record import (
    MATRIX,
    EvaluationRecord,
    Mistake,
    all_right_text,
    figure_rows,
    probabilities_text,
)
from kvgg_jax.evaluation.unknown import unknown_rows, unknown_text
from kvgg_jax.runs.listing import RunSummary
from kvgg_jax.web.html import charts
from kvgg_jax.web.html.page import write_page

HEADINGS = {
    "result": "Result",
    "curves": "Training",
    "confusion": "Confusion matrix",
    "classes": "Classes",
    "calibration": "Calibration",
    "mistakes": "Mistakes",
    "photos": "Photos",
    "cost": "Cost",
    "making": "How it was made",
}
"""Section -> its heading, in order."""
NEED_FIGURES = ("result", "confusion", "classes", "calibration")
"""Sections that are left out together, where there is no evaluation."""


@dataclass(frozen=True, slots=True)
class Contents:
    """All that a report shows; None for what is in `left_out`, with the reason."""

    run: RunSummary
    split: Split
    evaluated: EvaluationRecord | None
    worst: Sequence[Mistake]
    """The mistakes asked for."""
    mistakes: Sequence[Seen] | None
    """The same with their photos."""
    check: Check | None
    left_out: dict[str, str]


def write_report(of: Contents, file: Path, *, now: datetime) -> int:
    """Write the page, made at `now`; its size in bytes. Raises RunError as `write_page` does."""
    history = of.run.history
    assert history.best is not None, "there is no report on a run without an epoch"
    context = _run_context(of.run)
    if of.check:
        context |= _photos_context(of.check, of.split)
    if of.evaluated:
        context |= _evaluation_context(of.evaluated, of.check)
    return write_page(
        file,
        "report.html.j2",
        of=of,
        title=f"Report on {escape_name(of.run.path.resolve().name)}",
        headings=HEADINGS,
        best=history.best,
        monitored=title(history.monitor),
        reached=history.best.describe(history.monitor),
        curves=_curves(history, history.best),
        cost=_cost(of.run, of.split),
        version=__version__,
        now=now,
        **context,
    )


def _evaluation_context(result: EvaluationRecord, check: Check | None) -> dict[str, Any]:
    chance = max(one.count for one in result.classes.values()) / result.count
    best = [] if (share := _best_color(result)) is None else [("color alone", share)]
    shares = [("this network", result.accuracy), *best, ("guessing", chance)]
    return {
        "where": "validation photos" if result.split == "val" else f"photos in {result.data}",
        "verdict": verdict(result),
        "share_bars": charts.share_bars(shares, result.intervals.accuracy),
        "figures": figure_rows(result, ("loss (cross-entropy)", result.loss)),
        "all_right": all_right_text(result.count),
        "color": "C" + color_text(result.color).removeprefix("c"),
        "caveat": caveat(result, check),
        "most_cells": MATRIX,
        "probabilities": probabilities_text(result),
        "reliability": charts.reliability(result.reliability, result.calibration_error),
        "unknown": unknown_text(result.unknown) if result.unknown else "",
        "unknown_rows": unknown_rows(result.unknown) if result.unknown else [],
    }


def _best_color(result: EvaluationRecord) -> float | None:
    both = (result.color.class_mean, result.color.nearest)
    return max((share for share in both if share is not None), default=None)


def verdict(result: EvaluationRecord) -> str:
    """The accuracy beside that of color alone, which a network must exceed to have learnt more."""
    best, (low, high) = _best_color(result), result.intervals.accuracy
    if best is None:
        return ""
    if best > high:
        return f"Color alone reaches {best:.1%}, so the network has not yet learnt more than that."
    if best >= low:
        return f"Color alone reaches {best:.1%}: too near to tell them apart by so few photos."
    return f"That is more than color alone reaches: {best:.1%}."


def caveat(result: EvaluationRecord, check: Check | None) -> str:
    """What makes the figures better than they would be on new photos."""
    if result.split == "val":
        text = (
            "The best epoch was chosen on these same photos, so every figure is slightly too good."
        )
        if check and check.split_leaks:
            leaks = f"{check.split_leaks:,} of the validation photos"
            text += f" {leaks} are among those of training too."
        return text
    if result.trained_on is None:
        return "Figures of photos that the network was trained on, if any are here, are flattered."
    if not result.trained_on:
        return "The network was trained on none of these photos."
    known = f"{result.trained_on:,} of these {result.count:,} photos"
    return f"The network was trained on {known}, so every figure is too good."


def _curves(history: History, best: Epoch) -> Iterator[tuple[dict[str, Any], str]]:
    """Charts of accuracy and loss by epoch, with their captions."""
    for name in ("accuracy", "loss"):
        lines = [
            charts.Line(
                kind, part, [(row.epoch, getattr(row, f"{prefix}{name}")) for row in history]
            )
            for kind, part, prefix in (("first", "training", ""), ("second", "validation", "val_"))
        ]
        values = [y for line in lines for _, y in line.points if math.isfinite(y)]
        highest = max(values, default=0.0) or 1.0
        step = charts.tick(highest)
        top = 1.0 if name == "accuracy" else step * math.ceil(highest / step)
        value = getattr(best, f"val_{name}")
        chart = charts.curves(name.capitalize(), lines, (best.epoch, value), top=top)
        yield chart, f"{name.capitalize()} by epoch; best epoch: {value:.4f}"


def _photos_context(check: Check, split: Split) -> dict[str, Any]:
    """What `data check` found, and how the photos were split."""
    train, val = (Counter(part.labels) for part in (split.train, split.val))
    return {
        "facts": facts(check),
        "split_rows": [(name, train[k], val[k]) for k, name in enumerate(split.train.classes)],
        "check_command": f"kvgg data check {quote(str(check.folder))} --html check.html",
    }


def _cost(run: RunSummary, split: Split) -> Iterator[tuple[str, str]]:
    config, history, one = run.config, run.history, run.cost
    yield "training time", f"{duration(history.seconds)} ({history.seconds:,.1f} s)"
    if speed := history.images_per_second:
        yield "speed", f"{speed:,.1f} photos a second, validation left out"
    yield "machine", run.device
    yield "parameters", f"{one.params:,}, of which {one.head_params:,} in the head"
    yield "weights", f"{one.weight_bytes / 2**20:,.1f} MiB in float32"
    yield "FLOPs per photo", f"{one.forward_flops / 1e9:,.2f} G to classify it"
    if not config.model.freezes:
        flops = one.training_flops * len(split.train) * len(history)
        yield "FLOPs of training", f"{flops / 1e12:,.1f} T, from the size of the network"


def _run_context(run: RunSummary) -> dict[str, Any]:
    """Settings, command and versions: all that repeats the run."""
    values, default = settings(run.config), settings(RunConfig())
    default["model.head"] = ModelConfig(**run.config.model.model_dump(exclude={"head"})).head
    changed = {key: value for key, value in values.items() if value != default[key]}
    flags = [f"--set {quote(f'{key}={_toml(value)}')}" for key, value in changed.items()]
    return {
        "settings": [(key, _toml(value), _toml(default[key])) for key, value in changed.items()],
        "train_command": " ".join(["kvgg train", *flags]),
        "origin": _origin(run.info),
    }


def _origin(info: dict[str, Any]) -> Iterator[tuple[str, str]]:
    versions, data = info.get("versions"), info.get("data", {})
    yield "run", f"{info.get('status')}, begun {str(info.get('created')).replace('T', ' ')}"
    for name, version in versions.items() if isinstance(versions, dict) else ():
        yield str(name), str(version)
    yield "photos", f"fingerprint {data.get('fingerprint')}"
    if weights := info.get("weights"):
        yield "first weights", f"digest {weights}"


def _toml(value: Any) -> str:
    """As it stands in a config file; "none" where a key is not set."""
    return "none" if value is None else json.dumps(value, ensure_ascii=False)
