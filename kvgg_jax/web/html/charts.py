"""Charts of the report as numbers, which `templates/charts.html.j2` draws as SVG inside the page.

Not drawn by Matplotlib, whose SVG has each color in a `style` attribute that the page's light and
dark colors cannot reach, ids that clash where a page has several charts, no text for a screen
reader, and seven times the bytes (10 kB for two lines of 20 epochs).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from kvgg_jax.evaluation.record import Bin

WIDTH, HEIGHT = 360, 240  # of the view: a phone's width, so that its text is not made small
LEFT, RIGHT, TOP, BOTTOM = 44, WIDTH - 10, 28, HEIGHT - 36  # of the plot, in the view
TICKS = 5  # labels of an axis, about

BOX = {"width": WIDTH, "height": HEIGHT, "left": LEFT, "right": RIGHT, "bottom": BOTTOM}

Point = tuple[float, float]


class Line(NamedTuple):
    """Points of one line, and its kind: "first", "second" or "even" (the diagonal)."""

    kind: str
    name: str
    points: Sequence[Point]


class Axes:
    """Scales of a plot: `x` from `low` to `high`, `y` from 0 to `top`."""

    def __init__(self, low: float, high: float, top: float) -> None:
        self._low, self._span, self._top = low, (high - low) or 1.0, top

    def at(self, x: float, y: float) -> Point:
        """Where in the view, whose vertical axis points down; a higher `y` than `top` is there."""
        right, up = (x - self._low) / self._span, min(y, self._top) / self._top
        return round(LEFT + right * (RIGHT - LEFT), 1), round(BOTTOM - up * (BOTTOM - TOP), 1)

    def frame(self, across: Sequence[float]) -> dict[str, Any]:
        """The plot's box, and places and texts of the numbers of both axes."""
        step = tick(self._top)
        up = [k * step for k in range(math.floor(self._top / step + 1e-9) + 1)]
        return {
            "box": BOX,
            "up": [(self.at(self._low, value)[1], f"{value:.3g}") for value in up],
            "across": [(self.at(value, 0)[0], f"{value:g}") for value in across],
        }

    def line(self, one: Line) -> Line:
        """`one` in the view, without the points that are not finite."""
        return one._replace(points=[self.at(x, y) for x, y in one.points if math.isfinite(y)])


def curves(title: str, lines: Sequence[Line], best: Point, *, top: float) -> dict[str, Any]:
    """Lines by epoch, the best epoch marked; `top` is where the vertical axis ends."""
    epochs = sorted({round(x) for line in lines for x, _ in line.points})
    step = max(1, math.ceil(tick(len(epochs))))
    across = [epoch for epoch in epochs if epoch % step == 0 or len(epochs) <= TICKS]
    axes = Axes(epochs[0], epochs[-1], top)
    ends = "; ".join(
        f"{line.name} from {line.points[0][1]:.3f} to {line.points[-1][1]:.3f}" for line in lines
    )
    count = f"{len(epochs)} epochs" if len(epochs) > 1 else "1 epoch"
    return {
        "label": f"{title} over {count}: {ends}; the best epoch is {best[0]:g} with {best[1]:.4f}.",
        **axes.frame(across),
        "lines": list(map(axes.line, lines)),
        "best": axes.at(*best),
    }


def reliability(bins: Sequence[Bin], error: float) -> dict[str, Any]:
    """Share right by probability, a bar per bin, beside the diagonal of perfect calibration."""
    axes, some = Axes(0, 1, 1), [one for one in bins if one.count]
    most = max(some, key=lambda one: one.count)
    return {
        "label": f"Reliability diagram of {len(some)} bins, calibration error {error:.4f}. In the "
        f"fullest one, {most.count} photos predicted with {most.confidence:.0%} on average are "
        f"right {most.accuracy:.0%} of the time.",
        **axes.frame((0, 0.25, 0.5, 0.75, 1)),
        "bars": [(*axes.at(one.low, one.accuracy), *axes.at(one.high, 0)) for one in some],
        "line": axes.line(Line("even", "", ((0, 0), (1, 1)))),
        "dots": [axes.at(one.confidence, one.confidence) for one in some],
    }


def share_bars(shares: Sequence[tuple[str, float]], ends: Point) -> dict[str, Any]:
    """Named shares of 0 to 1 as bars; the first one stands out, and has its interval `ends`."""
    between = f" (95% interval {ends[0]:.1%} to {ends[1]:.1%})"
    first, *others = (f"{name} {share:.1%}" for name, share in shares)
    return {
        "label": f"Shares of right answers: {', '.join([first + between, *others])}.",
        "shares": shares,
        "ends": ends,
    }


def tick(span: float) -> float:
    """Between labels of an axis: 1, 2 or 5 times a power of ten, so that `TICKS` fill `span`."""
    power = 10 ** math.floor(math.log10(span / TICKS))
    return next(m * power for m in (1, 2, 5, 10) if m * power * TICKS >= span * (1 - 1e-9))
