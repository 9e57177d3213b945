"""The page of `kvgg report`: its sections, its style, and what they are made from."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime

from kvgg_jax.core.text import escape_name
from kvgg_jax.core.version import __version__
from kvgg_jax.data.audit.findings import Check
from kvgg_jax.data.split import Split
from kvgg_jax.evaluation.figures import EvaluationRecord, Mistake
from kvgg_jax.evaluation.mistakes import Seen
from kvgg_jax.runs.listing import RunSummary
from kvgg_jax.web.html import svg
from kvgg_jax.web.html.page import document, escaped
from kvgg_jax.web.html.report_evaluation import calibration, classes, confusion, mistakes, named
from kvgg_jax.web.html.report_result import NO_EPOCH, curves, result
from kvgg_jax.web.html.report_setup import cost, making, photos

STYLE = """
header p { color: var(--soft); margin: .2rem 0; }
nav ul { display: flex; flex-wrap: wrap; gap: .2rem 1.2rem; list-style: none; padding: 0; }
nav a { display: inline-block; padding: .4rem 0; }
.lead { font-size: 1.15rem; } .lead b { font-size: 2.2rem; line-height: 1; }
.note, figcaption { color: var(--soft); font-size: .9rem; } figcaption b { color: var(--ink); }
.charts { display: grid; gap: 1rem; align-items: start;
  grid-template-columns: repeat(auto-fill, minmax(min(100%, 20rem), 1fr)); }
.charts > * { margin: 0; min-width: 0; } figure { break-inside: avoid; }
.charts > figure { background: var(--card); border: 1px solid var(--line);
  border-radius: .5rem; padding: .8rem; }
.charts figcaption { margin-top: .4rem; }
.pair { display: grid; grid-template-columns: 1fr 1fr; gap: .4rem; } .pair img { width: 100%; }
.matrix td, .matrix td:last-child { text-align: center; min-width: 2.2rem; padding: .45rem .5rem;
  border-bottom-color: var(--paper); background: rgb(var(--shade) / calc(var(--share) * .5)); }
.matrix th[scope=col] { text-align: center; padding: .25rem .5rem; }
.matrix thead th:first-child { white-space: nowrap; padding-left: 0; }
.matrix .right { font-weight: 600; }
details { margin: 1rem 0; } summary { cursor: pointer; padding: .4rem 0; }
pre { white-space: pre-wrap; background: var(--card); border: 1px solid var(--line);
  border-radius: .5rem; padding: .8rem; }
.out { border-inline-start: .25rem solid var(--mark); padding-inline-start: .8rem; }
footer { color: var(--soft); margin-top: 3rem; font-size: .9rem; }
"""


@dataclass(frozen=True, slots=True)
class Contents:
    """All that a report shows; None and empty for what is in `left_out`, with the reason."""

    run: RunSummary
    split: Split
    evaluated: EvaluationRecord | None
    worst: tuple[Mistake, ...]
    """The mistakes asked for."""
    mistakes: tuple[Seen, ...]
    """The same with their pictures."""
    check: Check | None
    left_out: dict[str, str]


Section = tuple[str, str, Callable[[Contents], Iterator[str]]]


def names(of: Contents) -> tuple[str, ...]:
    """The parts that are there, in order."""
    return tuple(part for part, _, _ in SECTIONS if part not in of.left_out)


def parts(of: Contents, *, now: datetime) -> Iterator[str]:
    """The page, made at `now`, piece by piece."""
    title = f"Report on {escape_name(of.run.path.resolve().name)}"
    return document(title, _body(title, of, now), style=svg.STYLE + STYLE)


def _body(title: str, of: Contents, now: datetime) -> Iterator[str]:
    model, size = of.run.config.model, of.run.config.image_size
    labels = ", ".join(map(escape_name, of.run.classes))
    yield f"<header>\n<h1>{escaped(title)}</h1>"
    yield f"<p>{model.arch.upper()}, head {escaped(model.head)}, {size} x {size} pixels, "
    yield f"{len(of.run.classes)} classes: {escaped(labels)}</p>"
    best = of.run.history.best
    assert best is not None, NO_EPOCH
    yield f"<p>Best epoch {best.epoch}: validation accuracy {best.val_accuracy:.4f}</p>"
    if of.run.status != "finished":
        done, asked = len(of.run.history), of.run.config.train.epochs
        yield f'<p class="out">Unfinished: {done} of {asked} epochs are done.</p>'
    yield '</header>\n<nav aria-label="Contents">\n<ul>'
    for part, heading, _ in SECTIONS:
        yield f'<li><a href="#{part}">{heading}</a></li>'
    yield "</ul>\n</nav>\n<main>"
    for part, heading, section in SECTIONS:
        yield f'<section id="{part}">\n<h2>{heading}</h2>'
        if part in of.left_out:
            yield f'<p class="out">Left out: {escaped(of.left_out[part])}</p>'
            if part == "mistakes" and of.worst:
                yield named(of.worst)
        else:
            yield from section(of)
        yield "</section>"
    yield f"</main>\n<footer>\n<p>Made by kvgg_jax {__version__} on {now:%Y-%m-%d %H:%M}.</p>"
    yield "</footer>"


def _figures(of: Contents) -> EvaluationRecord:
    assert of.evaluated is not None, "a section of what is left out is not asked for"
    return of.evaluated


def _mistakes(of: Contents) -> Iterator[str]:
    return mistakes(of.mistakes, wrong=_figures(of).wrong, size=of.run.config.image_size)


SECTIONS: tuple[Section, ...] = (
    ("result", "Result", lambda of: result(_figures(of), of.check)),
    ("curves", "Training", lambda of: curves(of.run.history)),
    ("confusion", "Confusion matrix", lambda of: confusion(_figures(of))),
    ("classes", "Classes", lambda of: classes(_figures(of))),
    ("calibration", "Calibration", lambda of: calibration(_figures(of))),
    ("mistakes", "Mistakes", _mistakes),
    ("photos", "Photos", lambda of: photos(of.check, of.split)),
    ("cost", "Cost", lambda of: cost(of.run, of.split)),
    ("making", "How it was made", lambda of: making(of.run)),
)
"""Name, heading, and what makes its inside."""
NEED_FIGURES = ("result", "confusion", "classes", "calibration")
"""Sections that are left out together, where there is no evaluation."""
