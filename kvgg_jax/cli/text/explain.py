"""Explanations as PNG files, as lines and as JSON."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain, count
from pathlib import Path
from typing import Any

from kvgg_jax.cli.text.similar import neighbor_line
from kvgg_jax.core.errors import RunError
from kvgg_jax.core.text import escape_name
from kvgg_jax.inference.explain import Explanation
from kvgg_jax.inference.heatmap import draw_explanation

LEGEND = {
    "grad-cam": "Grad-CAM",
    "integrated-gradients": "integrated gradients (red: for, blue: against)",
}


def save_explanations(
    found: Iterable[Explanation], folder: Path
) -> Iterator[tuple[Explanation, Path | None]]:
    """Draw each into `folder` as `<stem>-<method>.png`; the path is None for an unreadable image.

    Further images of the same name get -2, -3 ...; older files are replaced. Raises RunError.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(
            f"Cannot write to {folder}: {error.strerror}. Choose another folder with --output."
        ) from None
    taken: set[str] = set()
    for one in found:
        if one.image is None or one.heat is None:
            yield one, None
            continue
        file = folder / _free(f"{one.path.stem}-{one.method}", taken)
        draw_explanation(one.image, one.heat, file, title=caption(one), method=LEGEND[one.method])
        yield one, file


def _free(stem: str, taken: set[str]) -> str:
    numbered = (f"{stem}-{number}" for number in count(2))
    name = next(name for name in chain([stem], numbered) if name not in taken)
    taken.add(name)
    return f"{name}.png"


def caption(one: Explanation) -> str:
    """The predicted class with its probability, and the explained class if it is another."""
    first = one.prediction
    text = f"{escape_name(first.label)} {first.probability:.1%}"
    if one.label == first.label:
        return text
    return f"predicted {text}; explained: {escape_name(one.label)} {one.probability:.1%}"


def explanation_json(one: Explanation, file: Path | None) -> dict[str, Any]:
    """The object that docs/json.md describes."""
    if one.heat is None:
        return {"path": str(one.path), "error": one.prediction.error}
    answer = {
        "path": str(one.path),
        "class": one.prediction.label,
        "probability": one.prediction.probability,
        "explained": {"class": one.label, "probability": one.probability},
        "method": one.method,
        "file": str(file),
    }
    if one.expected_sum is not None:
        answer |= {"sum": float(one.heat.sum()), "expected_sum": one.expected_sum}
    if one.neighbors:
        answer["similar"] = [near.to_json() for near in one.neighbors]
    return answer


def explanation_line(one: Explanation, file: Path) -> str:
    """Image, class, PNG file; below them a line for each similar training photo."""
    head = f"{escape_name(one.path)}: {caption(one)} -> {escape_name(file)}"
    return "\n".join([head, *map(neighbor_line, one.neighbors)])
