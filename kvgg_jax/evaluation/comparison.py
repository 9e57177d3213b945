"""`compare_runs`: several runs side by side, and whether they really differ on the same photos."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Any

from kvgg_jax.core.config import RunConfig, settings
from kvgg_jax.core.errors import KvggError, RunError, UsageError
from kvgg_jax.core.events import Emit, Note, Warned, ignore
from kvgg_jax.core.text import escape_name
from kvgg_jax.evaluation.charts import draw_comparison
from kvgg_jax.evaluation.files import read_predictions, try_to_keep
from kvgg_jax.evaluation.significance import holm, mcnemar
from kvgg_jax.runs import catalog, step_folders
from kvgg_jax.runs.folder import Run
from kvgg_jax.runs.listing import RunSummary, summarise

PICTURE = "comparison.png"


@dataclass(frozen=True, slots=True)
class Pair:
    """Two runs on the photos that both were judged on, and McNemar's test of them."""

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


@dataclass(frozen=True, slots=True)
class Comparison:
    """What `compare_runs` finds."""

    runs: tuple[RunSummary, ...]
    names: tuple[str, ...]
    """How they are called here: the names of their folders, or their paths where these agree."""
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
class Answers:
    """What a run calls each photo: path below `root` -> (class, predicted)."""

    root: str
    of: dict[str, tuple[str, str]]


def compare_runs(
    names: Sequence[str | Path],
    *,
    data: str | Path | None = None,
    out: str | Path = catalog.OUT,
    emit: Emit = ignore,
) -> Comparison:
    """Set two runs or more side by side, and test each pair on the photos that both are judged on.

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
    called = [one.path.name for one in found]
    if len(set(called)) < len(called):
        called = [str(one.path) for one in found]
    answers = [_answers(one, data, emit) for one in found]
    pairs = [
        _pair(called[i], called[j], answers[i], answers[j])
        for i, j in combinations(range(len(found)), 2)
    ]
    return Comparison(
        tuple(found),
        tuple(called),
        _differences([one.config for one in found]),
        _adjusted(pairs),
        _draw(called, found, emit),
    )


def _draw(called: Sequence[str], found: Sequence[RunSummary], emit: Emit) -> Path | None:
    chart = found[0].path.parent / PICTURE
    histories = {name: one.history for name, one in zip(called, found, strict=True)}
    try:
        draw_comparison(histories, chart)
    except RunError as error:
        emit(Warned(f"{error} The comparison is shown without it."))
        return None
    return chart


def _answers(of: RunSummary, data: str | Path | None, emit: Emit) -> Answers | str:
    """Or why there are none."""
    run = Run(of.path)
    state = step_folders.newest(run.checkpoints / "best")
    if data is None and state and (kept := read_predictions(run, state=state)) is not None:
        return Answers(os.path.realpath(str(of.config.data.dir)), kept)
    from kvgg_jax.evaluation.evaluate import evaluate

    emit(Note(f"Evaluating {run.path}"))
    try:
        result = evaluate(run.path, data=data, emit=emit)
        if data is None:
            try_to_keep(result, emit)
    except KvggError as error:
        return str(error)
    answers = {path: (name, called) for path, name, called, *_ in result.rows()}
    return Answers(os.path.realpath(result.samples.root), answers)


def _pair(first: str, second: str, one: Answers | str, other: Answers | str) -> Pair:
    bare = Pair(first, second)
    for name, answers in ((first, one), (second, other)):
        if isinstance(answers, str):
            return replace(bare, reason=f"{name} cannot be judged: {answers}")
    assert isinstance(one, Answers)
    assert isinstance(other, Answers)
    if one.root != other.root:
        here, there = escape_name(one.root), escape_name(other.root)
        where = f"{first} has its photos in {here}, {second} in {there}"
        return replace(bare, reason=f"{where}. Judge both on one folder: --data DIR.")
    common = [
        (one.of[path], other.of[path])
        for path in one.of
        if path in other.of and one.of[path][0] == other.of[path][0]
    ]
    if not common:
        text = "they have no validation photo in common. Judge both on photos that neither was"
        return replace(bare, reason=f"{text} trained on: --data DIR.")
    right = [(a[0] == a[1], b[0] == b[1]) for a, b in common]
    alone = right.count((True, False)), right.count((False, True))
    return Pair(first, second, len(common), *alone, p=mcnemar(*alone))


def _adjusted(pairs: Sequence[Pair]) -> tuple[Pair, ...]:
    tested = [pair for pair in pairs if pair.p is not None]
    adjusted = iter(holm([pair.p or 0.0 for pair in tested]))
    return tuple(pair if pair.p is None else replace(pair, p=next(adjusted)) for pair in pairs)


def _differences(configs: Sequence[RunConfig]) -> dict[str, tuple[Any, ...]]:
    tables = [settings(config) for config in configs]
    rows = {key: tuple(table[key] for table in tables) for key in tables[0]}
    return {key: row for key, row in rows.items() if any(value != row[0] for value in row)}
