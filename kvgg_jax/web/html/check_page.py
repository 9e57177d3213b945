"""What `kvgg data check` found, as one HTML file that needs no network: with the pictures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from PIL import Image

from kvgg_jax.core.errors import ImageError
from kvgg_jax.core.events import Emit, Progress, ignore
from kvgg_jax.core.text import escape_name
from kvgg_jax.data.audit.findings import AGAINST, TRAIN, VAL, Check, Duplicates, Photo
from kvgg_jax.data.audit.sentences import facts, reason
from kvgg_jax.data.decode.image import decode
from kvgg_jax.data.folder import scan
from kvgg_jax.web.html.page import data_url, definitions, document, escaped, write_page

SIDE = 128  # pixels of a thumbnail's longer side
GROUPS, FILES, EXAMPLES = 200, 200, 6  # groups, files of a list, and photos a class with a picture
_PARTS = {TRAIN: "training", VAL: "validation", AGAINST: "other folder"}
_STYLE = """
.group { border: 1px solid var(--line); border-radius: .5rem; padding: .5rem 1rem; margin: 1rem 0; }
.group > p { margin: .2rem 0; }
ul { display: flex; flex-wrap: wrap; gap: .8rem; list-style: none; padding: 0; }
li { width: 8.5rem; font-size: .85rem; line-height: 1.3; }
"""


def write_check(result: Check, file: Path, *, emit: Emit = ignore) -> None:
    """Write the page in one move. Raises RunError when it cannot be written."""
    title = f"Photos in {escape_name(result.folder)}"
    write_page(file, document(title, _body(title, result, emit), style=_STYLE))


def _body(title: str, result: Check, emit: Emit) -> Iterator[str]:
    yield f"<h1>{escaped(title)}</h1>"
    yield definitions(facts(result))
    yield "<h2>Duplicates</h2>"
    yield from _groups(result.duplicates, emit)
    for name, files in (("Unreadable files", result.bad), ("Odd files", result.odd)):
        yield f"<h2>{name}</h2>"
        yield from _files(files)
    yield "<h2>Classes</h2>"
    yield from _examples(result, emit)


def _groups(groups: Sequence[Duplicates], emit: Emit) -> Iterator[str]:
    if not groups:
        yield "<p>None.</p>"
    for done, group in enumerate(groups[:GROUPS], 1):
        yield f'<section class="group">\n<p>{_kind(group)}</p>\n<ul>'
        for photo in group.photos[:FILES]:
            yield _item(photo.path, photo.path, _place(photo))
        yield "</ul>\n</section>"
        emit(Progress("drawing", done, min(len(groups), GROUPS)))
    yield _more(len(groups) - GROUPS)


def _kind(group: Duplicates) -> str:
    marks = [
        (group.contradictory, "in several classes"),
        (group.across, "on both sides of the split"),
        (group.parts[AGAINST] and len(group.parts) > 1, "in both folders"),
    ]
    kind = "Exactly the same" if group.exact else "Nearly the same"
    return ", ".join([kind, *(f"<strong>{text}</strong>" for so, text in marks if so)])


def _place(photo: Photo) -> str:
    return f"{photo.label}, {_PARTS[photo.part]}" if photo.label else _PARTS[photo.part]


def _files(files: Sequence[tuple[Path, str]]) -> Iterator[str]:
    if not files:
        yield "<p>None.</p>"
        return
    yield "<ul>"
    for path, text in files[:FILES]:
        yield _item(path, path, reason(path, text))
    yield f"</ul>{_more(len(files) - FILES)}"


def _examples(result: Check, emit: Emit) -> Iterator[str]:
    samples = scan(result.folder)
    for label, (name, count) in enumerate(result.classes.items()):
        places = [place for place, other in enumerate(samples.labels) if other == label]
        chosen = places[:: max(len(places) // EXAMPLES, 1)][:EXAMPLES]
        yield f"<h3>{escaped(name)}: {count:,} photos</h3>\n<ul>"
        for path in samples.take(chosen).files():
            yield _item(path, path.name, "")
        yield "</ul>"
        emit(Progress("drawing classes", label + 1, len(result.classes)))


def _item(path: Path, name: object, text: str) -> str:
    """A picture over its name and a line on it; the name alone where it cannot be read."""
    alt = escaped(f"{path}, {text}" if text else path)
    image = _thumbnail(path)
    picture = f'<img src="{image}" alt="{alt}" loading="lazy">' if image else ""
    return f"<li>{picture}{escaped(name)}<br>{escaped(text)}</li>"


def _thumbnail(path: Path) -> str | None:
    """A JPEG of `SIDE` pixels as a data URI."""
    try:
        image = Image.fromarray(decode(path, at_least=SIDE))
    except ImageError:
        return None
    image.thumbnail((SIDE, SIDE))
    return data_url(image)


def _more(count: int) -> str:
    return f"<p>and {count:,} more: --json has all</p>" if count > 0 else ""
