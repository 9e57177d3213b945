"""The page of `kvgg report`: where it is right and where it is wrong."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from PIL import Image

from kvgg_jax.evaluation.confusion import MATRIX, confused
from kvgg_jax.evaluation.figures import EvaluationRecord, Mistake
from kvgg_jax.evaluation.metrics import BINS
from kvgg_jax.evaluation.mistakes import Seen
from kvgg_jax.evaluation.sentences import probabilities_text
from kvgg_jax.web.html import svg
from kvgg_jax.web.html.page import data_url, escaped, scrolling, table


def confusion(evaluated: EvaluationRecord) -> Iterator[str]:
    """All of it, or the most frequent confusions where there are many classes."""
    names = list(evaluated.classes)
    if len(names) <= MATRIX:
        yield _matrix(names, evaluated.confusion)
        return
    pairs = confused(np.array(evaluated.confusion))
    rows = [(names[true], names[called], f"{count:,}") for true, called, count in pairs]
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


def classes(evaluated: EvaluationRecord) -> Iterator[str]:
    """Scores of each."""
    rows = (
        (
            name,
            *("-" if x is None else f"{x:.3f}" for x in (one.precision, one.recall, one.f1)),
            "-" if one.roc_area is None else f"{one.roc_area:.3f}",
            f"{one.count:,}",
        )
        for name, one in evaluated.classes.items()
    )
    yield table(
        "Scores by class", ("class", "precision", "recall", "F1", "ROC area", "photos"), rows
    )
    yield '<p class="note">Precision: of the photos called so, the share that is. Recall: of the '
    yield "photos that are, the share called so. F1 is their harmonic mean. ROC area: how well the "
    yield "probability sorts the class from the others; 0.5 is chance.</p>"


def calibration(evaluated: EvaluationRecord) -> Iterator[str]:
    """Whether its probabilities can be taken at their word."""
    text = probabilities_text(evaluated.calibration, data=evaluated.data, split=evaluated.split)
    yield f"<p>{escaped(text)}. Expected calibration error: {evaluated.calibration_error:.4f}.</p>"
    yield '<div class="charts">\n<figure>'
    yield svg.reliability(evaluated.reliability, evaluated.calibration_error)
    yield "<figcaption>How often a call of a certainty is right. Bars on the dashed line mean that "
    yield '"90%" is right 9 times in 10; below it, the network is too sure. Dots: the mean '
    yield "probability of the bin.</figcaption>\n</figure>"
    rows = (
        (f"{b.low:.2f} to {b.high:.2f}", f"{b.count:,}", f"{b.confidence:.4f}", f"{b.accuracy:.4f}")
        for b in evaluated.reliability
        if b.count
    )
    columns = ("probability", "photos", "mean", "share right")
    yield f"{table(f'The bins that have photos, of {BINS}', columns, rows)}\n</div>"


def mistakes(found: Sequence[Seen], *, wrong: int, size: int) -> Iterator[str]:
    """The worst of `wrong`, by a network of `size` pixels a side."""
    if not wrong:
        yield "<p>None.</p>"
        return
    fields = size // 16
    yield f"<p>The {len(found)} most confident of {wrong:,}, each as it is and under "
    yield "Grad-CAM: the brighter, the more that part speaks for the class it was called. The map "
    yield f"is as fine as the network's last features: {fields} x {fields} fields.</p>"
    yield '<div class="charts">'
    for one in found:
        yield _mistake(one)
    yield "</div>"


def named(worst: Sequence[Mistake]) -> str:
    """The mistakes in words alone."""
    rows = ((one.path, one.true, one.predicted, f"{one.probability:.1%}") for one in worst)
    columns = ("photo", "class", "called", "probability")
    return table("The most confident mistakes", columns, rows, kind="words")


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
