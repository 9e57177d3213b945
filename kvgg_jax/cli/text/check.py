"""The result of `kvgg data check` as tables."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

from kvgg_jax.cli.output import print_line, print_table
from kvgg_jax.core.places import Place
from kvgg_jax.data.audit.findings import Check
from kvgg_jax.data.audit.sentences import facts, reason

ROWS = 20  # rows of one table; JSON and the page have all
Rows = Iterable[tuple[str, ...]]


def check_text(result: Check) -> None:
    """The figures, then a table each of classes, duplicates, and bad and odd files."""
    print_line(f"Photos in {result.folder}", "bold")
    print_table(("", ""), facts(result), show_header=False)
    counts = ((name, f"{count:,}") for name, count in result.classes.items())
    _first_rows("Classes", ("class", "photos"), counts, len(result.classes))
    count = sum(len(group.photos) for group in result.duplicates)
    _first_rows("Duplicates", ("duplicates", "photo", "class", "part"), _photos(result), count)
    for title, files in (("Unreadable", result.bad), ("Odd", result.odd)):
        rows = ((_inside(path, result.folder), reason(path, text)) for path, text in files)
        _first_rows(title, ("file", "what"), rows, len(files))


def _photos(result: Check) -> Iterator[tuple[str, ...]]:
    for number, group in enumerate(result.duplicates, 1):
        kind = "exact" if group.exact else "near"
        for photo in group.photos:
            yield f"{number} {kind}", _inside(photo.path, result.folder), photo.label, photo.part


def _inside(path: Place, folder: Place) -> str:
    return str(path).removeprefix(f"{folder}/")


def _first_rows(title: str, headers: tuple[str, ...], rows: Rows, count: int) -> None:
    """A table of at most `ROWS` of `count` rows; nothing for none."""
    if count:
        print_table(headers, islice(rows, ROWS), title=title)
    if count > ROWS:
        print_line(f"and {count - ROWS} more: --json and --html FILE have all")
