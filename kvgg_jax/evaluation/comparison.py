"""`compare_runs`: several runs side by side, and whether they really differ on the same photos."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from kvgg_jax.core.config import RunConfig, settings
from kvgg_jax.core.errors import KvggError, RunError, UsageError
from kvgg_jax.core.events import Emit, Note, Warned, ignore
from kvgg_jax.core.places import canonical
from kvgg_jax.core.text import escape_name
from kvgg_jax.evaluation.charts import draw_comparison
from kvgg_jax.evaluation.files import read_predictions, try_to_keep
from kvgg_jax.runs import catalog, step_folders
from kvgg_jax.runs.folder import Run
from kvgg_jax.runs.listing import RunSummary, summarise

LEVEL = 0.05  # below it a difference is significant
FEWEST = 6  # disagreements, from which on McNemar's test can get below `LEVEL`: 2 / 2**6 = 0.03


@dataclass(frozen=True, slots=True)
class Pair:
    """Two runs on the photos that both were evaluated on, and McNemar's test of them."""

    first: str
    second: str
    count: int = 0
    """Photos in common."""
    only_first: int = 0
    """Photos that the first alone is right on."""
    only_second: int = 0
    p: float | None = None
    """Adjusted for the number of pairs (Holm 1979); None where there is no test."""
    reason: str | None = None
    """Why there is none."""

    @property
    def differs(self) -> bool:
        """Whether the difference is significant."""
        return self.p is not None and self.p < LEVEL

    @property
    def has_too_few(self) -> bool:
        """Whether so few disagreements cannot show a difference."""
        return self.only_first + self.only_second < FEWEST


@dataclass(frozen=True, slots=True)
class Comparison:
    """What `compare_runs` gives."""

    runs: tuple[RunSummary, ...]
    names: tuple[str, ...]
    """How they are named here: the names of their folders, or their paths where these agree."""
    differences: dict[str, tuple[Any, ...]]
    """Settings that are not the same in all runs: key -> the value of each."""
    pairs: tuple[Pair, ...]
    chart: Path | None
    """Their curves, one over the other; None where it cannot be written."""

    def to_json(self) -> dict[str, Any]:
        """`{"runs": [...], "differences": {key: [...]}, "pairs": [...], "picture"}`."""
        return {
            "runs": [one.to_json() for one in self.runs],
            "differences": {key: list(values) for key, values in self.differences.items()},
            "pairs": [asdict(pair) for pair in self.pairs],
            "picture": self.chart and str(self.chart),
        }


@dataclass(frozen=True, slots=True)
class _Predictions:
    """Of one run, or the `fault` that stands in their way."""

    root: str = ""
    of: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Path below `root` -> (class, predicted)."""
    fault: str = ""


def compare_runs(
    names: Sequence[str | Path],
    *,
    data: str | Path | None = None,
    out: str | Path = catalog.OUT,
    emit: Emit = ignore,
) -> Comparison:
    """Set two or more runs side by side, and test each pair on the photos both are evaluated on.

    Those are the validation photos they have in common, or all of the folder `data`, which should
    hold none that one of them was trained on. Predictions kept by `evaluate` are used where they
    are of the run's best state; else it is evaluated now. Raises RunError and ConfigError for a
    run that cannot be read, UsageError for fewer than two runs; what stands in the way of a test is
    its pair's `reason`.
    """
    found = summarise(names, out=out)
    places = [os.path.realpath(one.path) for one in found]
    if len(set(places)) < max(2, len(places)):
        raise UsageError("Give two runs or more to compare, each once.")
    shown = [one.path.name for one in found]
    if len(set(shown)) < len(shown):
        shown = [str(one.path) for one in found]
    predictions = [_predictions(one, data, emit) for one in found]
    pairs = [
        _pair(shown[i], shown[j], predictions[i], predictions[j])
        for i, j in combinations(range(len(found)), 2)
    ]
    file = found[0].path.parent / catalog.COMPARISON
    chart: Path | None = file
    try:
        histories = {name: one.history for name, one in zip(shown, found, strict=True)}
        draw_comparison(histories, file)
    except RunError as error:
        emit(Warned(f"{error} The comparison is shown without it."))
        chart = None
    differences = _differences([one.config for one in found])
    return Comparison(tuple(found), tuple(shown), differences, _adjusted(pairs), chart)


def _predictions(of: RunSummary, data: str | Path | None, emit: Emit) -> _Predictions:
    run = Run(of.path)
    state = step_folders.newest(run.checkpoints / "best")
    if data is None and state and (kept := read_predictions(run, state=state)) is not None:
        return _Predictions(canonical(of.config.data.dir), kept)
    from kvgg_jax.evaluation.evaluate import evaluate

    emit(Note(f"Evaluating {run.path}"))
    try:
        result = evaluate(run.path, data=data, emit=emit)
        if data is None:
            try_to_keep(result, emit)
    except KvggError as error:
        return _Predictions(fault=str(error))
    found = {path: (name, predicted) for path, name, predicted, *_ in result.rows()}
    return _Predictions(canonical(result.samples.root), found)


def _pair(first: str, second: str, one: _Predictions, other: _Predictions) -> Pair:
    bare = Pair(first, second)
    for name, predictions in ((first, one), (second, other)):
        if predictions.fault:
            return replace(bare, reason=f"{name} cannot be evaluated: {predictions.fault}")
    if one.root != other.root:
        here, there = escape_name(one.root), escape_name(other.root)
        where = f"{first} has its photos in {here}, {second} in {there}"
        return replace(bare, reason=f"{where}. Evaluate both on one folder: --data DIR.")
    common = [
        (one.of[path], other.of[path])
        for path in one.of
        if path in other.of and one.of[path][0] == other.of[path][0]
    ]
    if not common:
        text = "they have no validation photo in common. Evaluate both on photos that neither was"
        return replace(bare, reason=f"{text} trained on: --data DIR.")
    right = [(a[0] == a[1], b[0] == b[1]) for a, b in common]
    alone = right.count((True, False)), right.count((False, True))
    return Pair(first, second, len(common), *alone, p=mcnemar(*alone))


def _adjusted(pairs: Sequence[Pair]) -> tuple[Pair, ...]:
    adjusted = iter(holm([pair.p for pair in pairs if pair.p is not None]))
    return tuple(pair if pair.p is None else replace(pair, p=next(adjusted)) for pair in pairs)


def _differences(configs: Sequence[RunConfig]) -> dict[str, tuple[Any, ...]]:
    tables = [settings(config) for config in configs]
    rows = {key: tuple(table[key] for table in tables) for key in tables[0]}
    return {key: row for key, row in rows.items() if any(value != row[0] for value in row)}


def mcnemar(only_first: int, only_second: int) -> float:
    """P-value of McNemar's test, from the photos that one of two classifiers alone is right on.

    Exact and two-sided, for any counts: if both were equally good, each such photo would be the
    first one's with probability 1/2 (McNemar 1947; Dietterich 1998 on why to use it).
    """
    from scipy.stats import binomtest

    count = only_first + only_second
    return float(binomtest(only_first, count).pvalue) if count else 1.0


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values adjusted for being several (Holm 1979), in their order. SciPy has none."""
    p = np.array(p_values, float)
    order = p.argsort()
    p[order] = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)).clip(max=1.0)
    return [float(one) for one in p]
