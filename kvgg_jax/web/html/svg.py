"""Charts as SVG inside a page: they take its colors, in the dark too, and stay sharp.

Drawn here, not by Matplotlib, whose SVG has each color in a `style` attribute that the page's light
and dark colors cannot reach, ids that clash where a page has several charts, no text for a screen
reader, and seven times the bytes (10 kB for two lines of 20 epochs).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from markupsafe import Markup, escape

from kvgg_jax.core.text import escape_name
from kvgg_jax.evaluation.record import Bin

WIDTH, HEIGHT = 360, 240  # of the view: a phone's width, so that its text is not made small
LEFT, RIGHT, TOP, BOTTOM = 44, 10, 28, 36  # margins around the plot
TICKS = 5  # labels of an axis, about


class Line(NamedTuple):
    """Points of one line, and its kind: "first", "second" or "even" (the diagonal)."""

    kind: str
    name: str
    points: Sequence[tuple[float, float]]


class Axes:
    """A plot's scales and frame: `x` from `low` to `high`, `y` from 0 to `top`."""

    def __init__(self, low: float, high: float, top: float) -> None:
        self._low, self._span = low, (high - low) or 1.0
        self.top = top

    def x(self, value: float) -> float:
        """From the left of the view."""
        return LEFT + (value - self._low) / self._span * (WIDTH - LEFT - RIGHT)

    def y(self, value: float) -> float:
        """From its top."""
        return HEIGHT - BOTTOM - value / self.top * (HEIGHT - TOP - BOTTOM)

    def frame(self, across: Sequence[float], name: str) -> Iterator[str]:
        """Grid, numbers, and what the horizontal axis is."""
        step = tick(self.top)
        for k in range(math.floor(self.top / step + 1e-9) + 1):
            y = self.y(k * step)
            yield f'<path class="grid" d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}"/>'
            yield _text(LEFT - 6, y + 4, f"{k * step:.3g}", "end")
        for value in across:
            yield _text(self.x(value), HEIGHT - BOTTOM + 16, f"{value:g}", "middle")
        yield _text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 4, name, "middle", "soft")

    def line(self, one: Line) -> str:
        """A path; dots where there is no more than one point."""
        points = [(x, y) for x, y in one.points if math.isfinite(y)]
        if len(points) == 1:
            ((x, y),) = points
            return f'<circle class="{one.kind}" cx="{self.x(x):.1f}" cy="{self.y(y):.1f}" r="3"/>'
        way = " ".join(f"{self.x(x):.1f},{self.y(min(y, self.top)):.1f}" for x, y in points)
        return f'<polyline class="{one.kind}" points="{way}"/>'


def curves(title: str, lines: Sequence[Line], best: tuple[float, float], *, top: float) -> Markup:
    """Lines by epoch, the best epoch marked; `top` is where the vertical axis ends."""
    epochs = sorted({round(x) for line in lines for x, _ in line.points})
    step = max(1, math.ceil(tick(len(epochs))))
    across = [epoch for epoch in epochs if epoch % step == 0 or len(epochs) <= TICKS]
    axes = Axes(epochs[0], epochs[-1], top)
    inside = [*axes.frame(across, "epoch"), *map(axes.line, lines), *_legend(lines)]
    inside.append(_dot(axes, best))
    said = "; ".join(
        f"{line.name} from {line.points[0][1]:.3f} to {line.points[-1][1]:.3f}" for line in lines
    )
    count = f"{len(epochs)} epochs" if len(epochs) > 1 else "1 epoch"
    found = f"the best epoch is {best[0]:g} with {best[1]:.4f}"
    return _svg(f"{title} over {count}: {said}; {found}.", inside)


def reliability(bins: Sequence[Bin], error: float) -> Markup:
    """Share right by certainty, a bar a bin, beside the diagonal of perfect calibration."""
    axes, some = Axes(0, 1, 1), [one for one in bins if one.count]
    inside = list(axes.frame((0, 0.25, 0.5, 0.75, 1), "probability of the called class"))
    for one in some:
        left, right, y = axes.x(one.low) + 1, axes.x(one.high) - 1, axes.y(one.accuracy)
        size = f'width="{right - left:.1f}" height="{axes.y(0) - y:.1f}"'
        inside.append(f'<rect class="bar" x="{left:.1f}" y="{y:.1f}" {size}/>')
    inside.append(axes.line(Line("even", "", ((0, 0), (1, 1)))))
    inside += [_dot(axes, (one.confidence, one.confidence), 3) for one in some]
    inside.append(_text(LEFT, 16, "share right", "start"))
    most = max(some, key=lambda one: one.count)
    return _svg(
        f"Reliability diagram of {len(some)} bins, calibration error {error:.4f}. In the fullest "
        f"one, {most.count} photos called with {most.confidence:.0%} on average are right "
        f"{most.accuracy:.0%} of the time.",
        inside,
    )


def share_bars(shares: Sequence[tuple[str, float]], ends: tuple[float, float]) -> Markup:
    """Named shares of 0 to 1 as bars; the first one stands out, and has its interval `ends`."""
    left, right = 100, WIDTH - 56
    inside, row = [], 30
    for k, (name, share) in enumerate(shares):
        y, end = 8 + row * k, left + share * (right - left)
        inside.append(
            f'<rect class="track" x="{left}" y="{y}" width="{right - left}" height="16"/>'
        )
        kind = "other" if k else "bar"
        size = f'width="{end - left:.1f}" height="16"'
        inside.append(f'<rect class="{kind}" x="{left}" y="{y}" {size}/>')
        inside.append(_text(left - 8, y + 12, name, "end"))
        inside.append(_text(right + 8, y + 12, f"{share:.1%}", "start"))
    low, high = (left + end * (right - left) for end in ends)
    way = f"M{low:.1f} 11V21M{low:.1f} 16H{high:.1f}M{high:.1f} 11V21"
    inside.append(f'<path class="halo" d="{way}"/><path class="whisker" d="{way}"/>')
    between = f" (95% interval {ends[0]:.1%} to {ends[1]:.1%})"
    first, *others = (f"{name} {share:.1%}" for name, share in shares)
    said = ", ".join([first + between, *others])
    return _svg(f"Shares of right answers: {said}.", inside, row * len(shares) + 2)


def _svg(label: str, inside: Sequence[str], height: int = HEIGHT) -> Markup:
    said = escape(escape_name(label))
    opening = f'<svg role="img" viewBox="0 0 {WIDTH} {height}" aria-label="{said}">'
    return Markup("\n".join([opening, *inside, "</svg>"]))


def _text(x: float, y: float, text: str, anchor: str, kind: str = "") -> str:
    extra = f' class="{kind}"' if kind else ""
    said = escape(escape_name(text))
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{extra}>{said}</text>'


def _dot(axes: Axes, at: tuple[float, float], size: int = 5) -> str:
    x, y = axes.x(at[0]), axes.y(min(at[1], axes.top))
    return f'<circle class="mark" cx="{x:.1f}" cy="{y:.1f}" r="{size}"/>'


def _legend(lines: Sequence[Line]) -> Iterator[str]:
    for k, line in enumerate(lines):
        x = LEFT + 110 * k
        yield f'<path class="{line.kind}" d="M{x} 12h22"/>'
        yield _text(x + 28, 16, line.name, "start")
    x = LEFT + 110 * len(lines)
    yield f'<circle class="mark" cx="{x + 6}" cy="12" r="5"/>{_text(x + 18, 16, "best", "start")}'


def tick(span: float) -> float:
    """Between labels of an axis: 1, 2 or 5 times a power of ten, so that `TICKS` fill `span`."""
    power = 10 ** math.floor(math.log10(span / TICKS))
    return next(m * power for m in (1, 2, 5, 10) if m * power * TICKS >= span * (1 - 1e-9))
