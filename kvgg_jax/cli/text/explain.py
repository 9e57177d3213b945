"""Explanations as PNG files, as lines and as JSON."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

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
    """Draw each into `folder` as `<stem>-<method>.png`; None for an image that cannot be read.

    Images of one name get -2, -3 ...; what an earlier call left is replaced. Raises RunError.
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
    name, number = f"{stem}.png", 1
    while name in taken:
        number += 1
        name = f"{stem}-{number}.png"
    taken.add(name)
    return name


def caption(one: Explanation) -> str:
    """The predicted class with its probability, and the one explained where that is another."""
    first = one.prediction
    text = f"{escape_name(first.label)} {first.probability:.1%}"
    if one.label == first.label:
        return text
    return f"predicted {text}; explained: {escape_name(one.label)} {one.probability:.1%}"


def explanation_json(one: Explanation, file: Path | None) -> dict[str, Any]:
    """`{"path", "class", "probability", "explained", "method", "file"}`, or `{"path", "error"}`.

    Integrated gradients add `"sum"` and `"expected_sum"`, which show how exact the map is.
    """
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
    return answer


def explanation_line(one: Explanation, file: Path) -> str:
    """Image, class, where the PNG is."""
    return f"{escape_name(one.path)}: {caption(one)} -> {escape_name(file)}"
