"""What `kvgg audit` found, as one HTML file that needs no network, with the photos."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kvgg_jax.core.events import Emit, Progress, ignore
from kvgg_jax.core.places import file_place
from kvgg_jax.core.text import escape_name
from kvgg_jax.data.samples import reader
from kvgg_jax.data.sources.folder import Folder
from kvgg_jax.evaluation.label_audit.findings import Audit, LabelIssue, Labelled, StandOut, facts
from kvgg_jax.web.html.page import write_page
from kvgg_jax.web.html.thumbnails import photo_item

MOST = 200  # photos of one list, and groups
NEXT = (
    " To move them: remove the rows that you disagree with from the file that --moves wrote, then "
    "kvgg audit --apply moves.csv."
)


def write_audit(result: Audit, file: Path, *, emit: Emit = ignore) -> None:
    """Write the page in one move. Raises RunError when it cannot be written."""
    read = reader(result.samples)

    def item(one: Labelled) -> dict[str, Any]:
        return photo_item(
            file_place(result.samples.source.name(one.path)), one.path, read, _text(one)
        )

    def items() -> Iterator[dict[str, Any]]:
        lists = _lists(result)
        total = sum(len(photos[:MOST]) for _, _, photos in lists)
        done = 0
        for heading, about, photos in lists:
            shown = []
            for photo in photos[:MOST]:
                shown.append(item(photo))
                emit(Progress("drawing", done := done + 1, total))
            yield {"heading": heading, "about": about, "photos": shown, "left": len(photos) - MOST}

    write_page(
        file,
        "audit.html.j2",
        title=f"Labels in {escape_name(result.folder)}",
        facts=facts(result),
        lists=list(items()),
        groups=[list(map(item, group)) for group in result.contradictory[:MOST]],
        groups_left=len(result.contradictory) - MOST,
    )


def _lists(result: Audit) -> list[tuple[str, str, tuple[Labelled, ...]]]:
    """Heading, a sentence, and photos of each list."""
    text = f"The surest first.{NEXT if isinstance(result.samples.source, Folder) else ''}"
    found: list[tuple[str, str, tuple[Labelled, ...]]] = [
        ("Labels that are probably wrong", text, result.issues)
    ]
    if result.outliers is not None:
        text = "Unlike all other photos: the mean cosine distance of their features to the nearest."
        found.append(("Outliers", text, result.outliers))
    text = "Less sharp than the other photos of the class."
    found.append(("Blurred photos", text, result.blurred))
    found.append(("Dark photos", "Darker than the other photos of the class.", result.dark))
    return found


def _text(one: Labelled) -> str:
    if isinstance(one, LabelIssue):
        return f"in {one.label}, looks like {one.suggested} (score {one.score:.2f})"
    if isinstance(one, StandOut):
        return f"{one.label}, {one.value:.3g} (median {one.typical:.3g})"
    return one.label
