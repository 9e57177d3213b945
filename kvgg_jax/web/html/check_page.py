"""What `kvgg data check` found, as one HTML file that needs no network, with the photos."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from kvgg_jax.core.events import Emit, Progress, ignore
from kvgg_jax.core.text import escape_name
from kvgg_jax.data.audit.findings import AGAINST, TEST, TRAIN, VAL, Check, Duplicates, Photo
from kvgg_jax.data.audit.sentences import facts, reason
from kvgg_jax.data.decode.image import Read
from kvgg_jax.data.samples import reader
from kvgg_jax.web.html.page import write_page
from kvgg_jax.web.html.thumbnails import photo_item

GROUPS, FILES, EXAMPLES = 200, 200, 6  # shown: groups, files of a list, photos per class
_PARTS = {TRAIN: "training", VAL: "validation", TEST: "test", AGAINST: "other folder"}


def write_check(result: Check, file: Path, *, emit: Emit = ignore) -> None:
    """Write the page in one move. Raises RunError when it cannot be written."""
    read = reader(result.samples, *([result.others] if result.others else []))
    write_page(
        file,
        "check.html.j2",
        title=f"Photos in {escape_name(result.folder)}",
        facts=facts(result),
        groups=list(_groups(result.duplicates, read, emit)),
        groups_left=len(result.duplicates) - GROUPS,
        lists=[
            {
                "heading": heading,
                "files": [
                    photo_item(path, path, read, reason(path, text)) for path, text in found[:FILES]
                ],
                "left": len(found) - FILES,
            }
            for heading, found in (("Unreadable files", result.bad), ("Odd files", result.odd))
        ],
        classes=list(_classes(result, read, emit)),
    )


def _groups(groups: Sequence[Duplicates], read: Read, emit: Emit) -> Iterator[dict[str, Any]]:
    for done, group in enumerate(groups[:GROUPS], 1):
        marks = {
            "in several classes": group.contradictory,
            "on both sides of the split": group.across,
            "in both folders": group.parts[AGAINST] and len(group.parts) > 1,
        }
        yield {
            "kind": "Exactly the same" if group.exact else "Nearly the same",
            "marks": [text for text, applies in marks.items() if applies],
            "files": [
                photo_item(one.path, one.path, read, _place(one)) for one in group.photos[:FILES]
            ],
        }
        emit(Progress("drawing", done, min(len(groups), GROUPS)))


def _place(photo: Photo) -> str:
    return f"{photo.label}, {_PARTS[photo.part]}" if photo.label else _PARTS[photo.part]


def _classes(result: Check, read: Read, emit: Emit) -> Iterator[dict[str, Any]]:
    samples, of_class = result.samples, defaultdict[int, list[int]](list)
    for place, label in enumerate(samples.labels):
        of_class[label].append(place)
    for label, (name, count) in enumerate(result.classes.items()):
        places = of_class[label]
        chosen = places[:: max(len(places) // EXAMPLES, 1)][:EXAMPLES]
        files = [photo_item(path, path.name, read) for path in samples.take(chosen).files()]
        yield {"name": name, "count": count, "files": files}
        emit(Progress("drawing classes", label + 1, len(result.classes)))
