"""The page of `kvgg report`: what the run was found to be, section by section."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from kvgg_jax import __version__, svg
from kvgg_jax.data.findings import Check
from kvgg_jax.data.folder import Split
from kvgg_jax.errors import shown
from kvgg_jax.history import Epoch
from kvgg_jax.judged import Judged, Mistake
from kvgg_jax.listing import RunSummary
from kvgg_jax.page import data_url, document, escaped, scrolling, table
from kvgg_jax.report_origin import cost, making, photos
from kvgg_jax.scores import BINS, LEVEL
from kvgg_jax.show_evaluation import all_right_text, colour_text, probabilities_text

MATRIX = 30  # classes, up to which the whole confusion matrix is shown
NO_EPOCH = "there is no report on a run without an epoch"
PAIRS = 20  # most frequent confusions, where it is not
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
class Seen:
    """A mistake with its picture, uint8 [side, side, 3], or why there is none."""

    mistake: Mistake
    photo: NDArray[np.uint8] | None = None
    overlay: NDArray[np.uint8] | None = None
    """The same under the heat of class `label`."""
    label: str = ""
    place: str = ""
    """Where the heat is strongest, in words; empty where there is none."""
    error: str = ""


@dataclass(frozen=True, slots=True)
class Contents:
    """All that a report shows; None and empty for what is in `left_out`, with the reason."""

    run: RunSummary
    split: Split
    judged: Judged | None
    mistakes: tuple[Seen, ...]
    check: Check | None
    left_out: dict[str, str]


Section = tuple[str, str, Callable[[Contents], Iterator[str]]]


def names(of: Contents) -> tuple[str, ...]:
    """The parts that are there, in order."""
    return tuple(part for part, _, _ in SECTIONS if part not in of.left_out)


def parts(of: Contents, *, now: datetime) -> Iterator[str]:
    """The page, made at `now`, piece by piece."""
    title = f"Report on {shown(of.run.path.name)}"
    return document(title, _body(title, of, now), style=svg.STYLE + STYLE)


def _body(title: str, of: Contents, now: datetime) -> Iterator[str]:
    model, size = of.run.config.model, of.run.config.data.image_size
    classes = ", ".join(map(shown, of.run.classes))
    yield f"<header>\n<h1>{escaped(title)}</h1>"
    yield f"<p>{model.arch.upper()}, head {escaped(model.head)}, {size} x {size} pixels, "
    yield f"{len(of.run.classes)} classes: {escaped(classes)}</p>"
    best = of.run.history.best
    assert best is not None, NO_EPOCH
    yield f"<p>Best epoch {best.epoch}: validation accuracy {best.val_accuracy:.4f}</p>"
    yield '</header>\n<nav aria-label="Contents">\n<ul>'
    for part, heading, _ in SECTIONS:
        yield f'<li><a href="#{part}">{heading}</a></li>'
    yield "</ul>\n</nav>\n<main>"
    for part, heading, section in SECTIONS:
        yield f'<section id="{part}">\n<h2>{heading}</h2>'
        if part in of.left_out:
            yield f'<p class="out">Left out: {escaped(of.left_out[part])}</p>'
        else:
            yield from section(of)
        yield "</section>"
    yield f"</main>\n<footer>\n<p>Made by kvgg_jax {__version__} on {now:%Y-%m-%d %H:%M}.</p>"
    yield "</footer>"


def _result(of: Contents) -> Iterator[str]:
    judged = _there(of)
    where = "validation photos" if judged.split == "val" else f"photos in {judged.data}"
    lead = f"right: {judged.right:,} of {judged.count:,} {where}. {_verdict(judged)}"
    yield f'<p class="lead"><b>{judged.accuracy:.1%}</b> {escaped(lead)}</p>'
    chance = max(map(sum, judged.confusion)) / judged.count
    best = [] if (share := _best_colour(judged)) is None else [("colour alone", share)]
    shares = [("this network", judged.accuracy), *best, ("guessing", chance)]
    yield '<div class="charts">\n<figure>'
    yield svg.share_bars(shares, judged.interval("accuracy"))
    yield f"<figcaption>Accuracy, with its {LEVEL:.0%} interval: how far another set of as many "
    yield "photos might differ. Colour alone: the better of two rules that know nothing of a photo "
    yield "but mean and spread of its colours. Guessing: the largest class is always named."
    yield "</figcaption>\n</figure>"
    columns = ("figure", "value", f"{LEVEL:.0%} interval")
    yield f"{table(f'Figures of {judged.count:,} photos', columns, _figures(judged))}\n</div>"
    if judged.right == judged.count:
        yield f"<p>{escaped(all_right_text(judged.count))}</p>"
    yield f'<p class="note">{escaped(_sentence(colour_text(judged.colour)))}</p>'
    yield f'<p class="note">{_caveat(judged, of.check)}</p>'


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."


def _there(of: Contents) -> Judged:
    assert of.judged is not None, "a section of what is left out is not asked for"
    return of.judged


def _best_colour(judged: Judged) -> float | None:
    both = (judged.colour.class_mean, judged.colour.nearest)
    return max((share for share in both if share is not None), default=None)


def _verdict(judged: Judged) -> str:
    """Beside colour alone, which is what a network must beat to have learnt more."""
    best, ends = _best_colour(judged), judged.interval("accuracy")
    if best is None or ends is None:
        return ""
    if best > ends[1]:
        return f"Colour alone reaches {best:.1%}, so the network has not yet learnt more than that."
    if best >= ends[0]:
        return f"Colour alone reaches {best:.1%}: too near to tell them apart by so few photos."
    return f"That is more than colour alone reaches: {best:.1%}."


def _caveat(judged: Judged, check: Check | None) -> str:
    if judged.split == "all":
        return "Figures of photos that the network was trained on, if any are here, are flattered."
    text = "The best epoch was chosen on these very photos, which flatters every figure a little."
    if check and check.split_leaks:
        text += f" {check.split_leaks:,} of the validation photos are among those of training too."
    return text


def _figures(judged: Judged) -> Iterator[tuple[str, str, str]]:
    areas = [one.roc_area for one in judged.classes.values() if one.roc_area is not None]
    for label, value, name in (
        ("accuracy", judged.accuracy, "accuracy"),
        ("balanced accuracy", judged.balanced_accuracy, "balanced_accuracy"),
        ("macro F1", judged.macro_f1, "macro_f1"),
        ("Matthews correlation", judged.matthews, "matthews"),
        *((f"top-{k} accuracy", share, "") for k, share in judged.top_k.items()),
        ("loss (cross-entropy)", judged.loss, ""),
        *([("ROC area, mean of classes", sum(areas) / len(areas), "")] if areas else []),
    ):
        ends = judged.interval(name)
        yield label, f"{value:.4f}", f"{ends[0]:.4f} to {ends[1]:.4f}" if ends else ""


def _curves(of: Contents) -> Iterator[str]:
    history, best = of.run.history, of.run.history.best
    assert best is not None, NO_EPOCH
    yield f"<p>{len(history)} epochs; the best is epoch {best.epoch}, by validation accuracy.</p>"
    yield '<div class="charts">'
    for name in ("accuracy", "loss"):
        lines = [
            svg.Line(kind, part, [(row.epoch, getattr(row, f"{prefix}{name}")) for row in history])
            for kind, part, prefix in (("first", "training", ""), ("second", "validation", "val_"))
        ]
        values = [y for line in lines for _, y in line.points if math.isfinite(y)]
        top = 1.0 if name == "accuracy" else _round_up(max(values, default=0.0) or 1.0)
        value = getattr(best, f"val_{name}")
        yield f"<figure>\n{svg.curves(name.capitalize(), lines, (best.epoch, value), top=top)}"
        yield f"<figcaption>{name.capitalize()} by epoch; best epoch: {value:.4f}</figcaption>"
        yield "</figure>"
    yield "</div>\n<details>\n<summary>Each epoch in figures</summary>"
    columns = ("epoch", "loss", "accuracy", "val. loss", "val. accuracy", "rate", "seconds")
    yield table("Epochs", columns, map(_epoch, history))
    yield "</details>"


def _round_up(value: float) -> float:
    """To the next label of an axis."""
    step = svg.tick(value)
    return step * math.ceil(value / step)


def _epoch(row: Epoch) -> tuple[str, ...]:
    figures = (row.loss, row.accuracy, row.val_loss, row.val_accuracy)
    shares = (f"{figure:.4f}" for figure in figures)
    return str(row.epoch), *shares, f"{row.learning_rate:.2e}", f"{row.seconds:,.1f}"


def _confusion(of: Contents) -> Iterator[str]:
    judged = _there(of)
    names = list(judged.classes)
    if len(names) <= MATRIX:
        yield _matrix(names, judged.confusion)
        return
    pairs = sorted(
        (
            (count, names[true], names[called])
            for true, row in enumerate(judged.confusion)
            for called, count in enumerate(row)
            if count and true != called
        ),
        key=lambda pair: (-pair[0], *pair[1:]),
    )
    rows = [(true, called, f"{count:,}") for count, true, called in pairs[:PAIRS]]
    yield f"<p>Of {len(names)} classes, the pairs that are mixed up most often:</p>"
    yield table("Most frequent confusions", ("class", "called", "photos"), rows)


def _matrix(names: Sequence[str], confusion: Sequence[Sequence[int]]) -> str:
    """A row a true class, a column a called one, shaded by the share of the row."""
    head = "".join(f'<th scope="col">{escaped(name)}</th>' for name in names)
    kinds = ("wrong", "right")
    lines = [f'<thead><tr><th scope="col">true \\ called</th>{head}</tr></thead>', "<tbody>"]
    for k, (name, row) in enumerate(zip(names, confusion, strict=True)):
        shares = [count / max(sum(row), 1) for count in row]
        cells = "".join(
            f'<td class="{kinds[j == k]}" style="--share: {share:.3f}">{count:,}</td>'
            for j, (count, share) in enumerate(zip(row, shares, strict=True))
        )
        lines.append(f'<tr><th scope="row">{escaped(name)}</th>{cells}</tr>')
    text = "Photos by true class (rows) and by the class they were called (columns)"
    inside = "\n".join(lines)
    return scrolling(text, inside, kind="matrix")


def _classes(of: Contents) -> Iterator[str]:
    rows = (
        (
            name,
            *("-" if x is None else f"{x:.4f}" for x in (one.precision, one.recall, one.f1)),
            "-" if one.roc_area is None else f"{one.roc_area:.4f}",
            f"{one.count:,}",
        )
        for name, one in _there(of).classes.items()
    )
    yield table(
        "Scores by class", ("class", "precision", "recall", "F1", "ROC area", "photos"), rows
    )
    yield '<p class="note">Precision: of the photos called so, the share that is. Recall: of the '
    yield "photos that are, the share called so. F1 is their harmonic mean. ROC area: how well the "
    yield "probability sorts the class from the others; 0.5 is chance.</p>"


def _calibration(of: Contents) -> Iterator[str]:
    judged = _there(of)
    text = probabilities_text(judged.calibration, data=judged.data, split=judged.split)
    yield f"<p>{escaped(text)}. Expected calibration error: {judged.calibration_error:.4f}.</p>"
    yield '<div class="charts">\n<figure>'
    yield svg.reliability(judged.reliability, judged.calibration_error)
    yield "<figcaption>How often a call of a certainty is right. Bars on the dashed line mean that "
    yield '"90 %" is right 9 times in 10; below it, the network is too sure. Dots: the mean '
    yield "probability of the bin.</figcaption>\n</figure>"
    rows = (
        (f"{b.low:.2f} to {b.high:.2f}", f"{b.count:,}", f"{b.confidence:.4f}", f"{b.accuracy:.4f}")
        for b in judged.reliability
        if b.count
    )
    columns = ("probability", "photos", "mean", "share right")
    yield f"{table(f'The bins that have photos, of {BINS}', columns, rows)}\n</div>"


def _mistakes(of: Contents) -> Iterator[str]:
    judged = _there(of)
    if not judged.wrong:
        yield "<p>None.</p>"
        return
    fields = max((of.run.config.data.image_size or 0) // 16, 1)
    yield f"<p>The {len(of.mistakes)} most confident of {judged.wrong:,}, each as it is and under "
    yield "Grad-CAM: the brighter, the more that part speaks for the class it was called. The map "
    yield f"is as fine as the network's last features: {fields} x {fields} fields.</p>"
    yield '<div class="charts">'
    for one in of.mistakes:
        yield _mistake(one)
    yield "</div>"


def _mistake(one: Seen) -> str:
    what = one.mistake
    called = f"called {what.predicted} with {what.probability:.1%}"
    words = escaped(f"{what.true}, {called}")
    caption = f"<figcaption><b>{words}</b><br>{escaped(what.path)}</figcaption>"
    if one.photo is None or one.overlay is None:
        return f'<figure>\n<p class="out">{escaped(one.error)}</p>\n{caption}\n</figure>'
    heat = f"strongest in the {one.place}" if one.place else "nothing speaks for it"
    both = (
        (one.photo, f"{what.path}, a photo of class {what.true} {called}"),
        (one.overlay, f"The same with the heat of class {one.label}: {heat}"),
    )
    images = "".join(
        f'<img src="{data_url(Image.fromarray(pixels), quality=85)}" alt="{escaped(alt)}" '
        f'width="{pixels.shape[1]}" height="{pixels.shape[0]}">'
        for pixels, alt in both
    )
    return f'<figure>\n<div class="pair">{images}</div>\n{caption}\n</figure>'


SECTIONS: tuple[Section, ...] = (
    ("result", "Result", _result),
    ("curves", "Training", _curves),
    ("confusion", "Confusion matrix", _confusion),
    ("classes", "Classes", _classes),
    ("calibration", "Calibration", _calibration),
    ("mistakes", "Mistakes", _mistakes),
    ("photos", "Photos", lambda of: photos(of.check, of.split)),
    ("cost", "Cost", lambda of: cost(of.run, of.split)),
    ("making", "How it was made", lambda of: making(of.run)),
)
"""Name, heading, and what makes its inside."""
NEED_FIGURES = ("result", "confusion", "classes", "calibration")
"""Sections that are left out together, where there is no evaluation."""
