"""What `kvgg data check` found, as JSON and as tables."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from rich.console import Console
from rich.table import Table

from kvgg_jax.cli.console import print_line
from kvgg_jax.cli.text.evaluation import cell
from kvgg_jax.data.audit.findings import Check
from kvgg_jax.data.audit.sentences import facts, reason

ROWS = 20  # rows of one table; JSON and the page have all


def check_text(result: Check) -> None:
    """The figures, then a table of classes, of duplicates, and of bad and odd files."""
    console = Console()
    print_line(console, f"Photos in {result.folder}", "bold")
    table = Table("", "", show_header=False)
    for name, text in facts(result):
        table.add_row(cell(name), cell(text))
    console.print(table)
    _print(
        console,
        Table("class", "photos", title="Classes"),
        ((name, f"{count:,}") for name, count in result.classes.items()),
        len(result.classes),
    )
    groups = Table("duplicates", "photo", "class", "part", title="Duplicates")
    _print(console, groups, _rows(result), sum(len(group.photos) for group in result.duplicates))
    for title, files in (("Unreadable", result.bad), ("Odd", result.odd)):
        rows = ((_inside(path, result.folder), reason(path, text)) for path, text in files)
        _print(console, Table("file", "what", title=title), rows, len(files))


def _rows(result: Check) -> Iterable[tuple[str, ...]]:
    for number, group in enumerate(result.duplicates, 1):
        kind = "exact" if group.exact else "near"
        for photo in group.photos:
            yield f"{number} {kind}", _inside(photo.path, result.folder), photo.label, photo.part


def _inside(path: Path, folder: Path) -> str:
    return str(path.relative_to(folder) if path.is_relative_to(folder) else path)


def _print(console: Console, table: Table, rows: Iterable[tuple[str, ...]], count: int) -> None:
    """At most `ROWS` rows; nothing for an empty table."""
    if not count:
        return
    for _, row in zip(range(ROWS), rows, strict=False):
        table.add_row(*map(cell, row))
    console.print(table)
    if count > ROWS:
        print_line(console, f"and {count - ROWS} more: --json and --html FILE have all")
