"""The page of `kvgg report`: how good the run is, and how it came to be so."""

from __future__ import annotations

import math
from collections.abc import Iterator

from kvgg_jax.core.history import Epoch, History
from kvgg_jax.core.text import figure
from kvgg_jax.data.audit.findings import Check
from kvgg_jax.data.audit.sentences import color_text
from kvgg_jax.evaluation.figures import EvaluationRecord
from kvgg_jax.evaluation.metrics import LEVEL
from kvgg_jax.evaluation.sentences import all_right_text
from kvgg_jax.web.html import svg
from kvgg_jax.web.html.page import escaped, table

NO_EPOCH = "there is no report on a run without an epoch"
UNKNOWN = "Figures of photos that the network was trained on, if any are here, are flattered."


def result(evaluated: EvaluationRecord, check: Check | None) -> Iterator[str]:
    """The figures, beside what color alone and guessing reach."""
    where = "validation photos" if evaluated.split == "val" else f"photos in {evaluated.data}"
    lead = f"right: {evaluated.right:,} of {evaluated.count:,} {where}. {_verdict(evaluated)}"
    yield f'<p class="lead"><b>{evaluated.accuracy:.1%}</b> {escaped(lead)}</p>'
    chance = max(map(sum, evaluated.confusion)) / evaluated.count
    best = [] if (share := _best_color(evaluated)) is None else [("color alone", share)]
    shares = [("this network", evaluated.accuracy), *best, ("guessing", chance)]
    yield '<div class="charts">\n<figure>'
    yield svg.share_bars(shares, evaluated.interval("accuracy"))
    yield f"<figcaption>Accuracy, with its {LEVEL:.0%} interval: how far another set of as many "
    yield "photos might differ. Color alone: the better of two rules that know nothing of a photo "
    yield "but mean and spread of its colors. Guessing: the largest class is always named."
    yield "</figcaption>\n</figure>"
    columns = ("figure", "value", f"{LEVEL:.0%} interval")
    yield f"{table(f'Figures of {evaluated.count:,} photos', columns, _figures(evaluated))}\n</div>"
    if evaluated.right == evaluated.count:
        yield f"<p>{escaped(all_right_text(evaluated.count))}</p>"
    yield f'<p class="note">{escaped(_sentence(color_text(evaluated.color)))}</p>'
    yield f'<p class="note">{_caveat(evaluated, check)}</p>'


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."


def _best_color(evaluated: EvaluationRecord) -> float | None:
    both = (evaluated.color.class_mean, evaluated.color.nearest)
    return max((share for share in both if share is not None), default=None)


def _verdict(evaluated: EvaluationRecord) -> str:
    """Beside color alone, which is what a network must beat to have learnt more."""
    best, ends = _best_color(evaluated), evaluated.interval("accuracy")
    if best is None or ends is None:
        return ""
    if best > ends[1]:
        return f"Color alone reaches {best:.1%}, so the network has not yet learnt more than that."
    if best >= ends[0]:
        return f"Color alone reaches {best:.1%}: too near to tell them apart by so few photos."
    return f"That is more than color alone reaches: {best:.1%}."


def _caveat(evaluated: EvaluationRecord, check: Check | None) -> str:
    if evaluated.split == "all":
        return _flattery(evaluated)
    text = "The best epoch was chosen on these very photos, which flatters every figure a little."
    if check and check.split_leaks:
        text += f" {check.split_leaks:,} of the validation photos are among those of training too."
    return text


def _flattery(evaluated: EvaluationRecord) -> str:
    if evaluated.trained_on is None:
        return UNKNOWN
    if not evaluated.trained_on:
        return "The network was trained on none of these photos."
    known = f"{evaluated.trained_on:,} of these {evaluated.count:,} photos"
    return f"The network was trained on {known}, which flatters every figure."


def _figures(evaluated: EvaluationRecord) -> Iterator[tuple[str, str, str]]:
    areas = [one.roc_area for one in evaluated.classes.values() if one.roc_area is not None]
    for label, value, name in (
        ("accuracy", evaluated.accuracy, "accuracy"),
        ("balanced accuracy", evaluated.balanced_accuracy, "balanced_accuracy"),
        ("macro F1", evaluated.macro_f1, "macro_f1"),
        ("Matthews correlation", evaluated.matthews, "matthews"),
        *((f"top-{k} accuracy", share, "") for k, share in evaluated.top_k.items()),
        ("loss (cross-entropy)", evaluated.loss, ""),
        *([("ROC area, mean of classes", sum(areas) / len(areas), "")] if areas else []),
    ):
        ends = evaluated.interval(name)
        yield label, f"{value:.4f}", f"{ends[0]:.4f} to {ends[1]:.4f}" if ends else ""


def curves(history: History) -> Iterator[str]:
    """Accuracy and loss by epoch."""
    best = history.best
    assert best is not None, NO_EPOCH
    epochs = "1 epoch" if len(history) == 1 else f"{len(history)} epochs"
    yield f"<p>{epochs}; the best is epoch {best.epoch}, by validation accuracy.</p>"
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
    return str(row.epoch), *shares, figure(row.learning_rate, ".2e"), figure(row.seconds, ",.1f")
