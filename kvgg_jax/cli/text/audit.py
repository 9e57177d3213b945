"""The result of `kvgg audit` as tables, and of `kvgg audit --apply` as lines."""

from __future__ import annotations

from collections.abc import Sequence
from shlex import quote

from kvgg_jax.cli.output import print_line, print_table
from kvgg_jax.core.text import counted, escape_name, program
from kvgg_jax.evaluation.label_audit.apply import Applied
from kvgg_jax.evaluation.label_audit.findings import Audit, StandOut, facts

ROWS = 20  # of one table; JSON and the page have all


def audit_text(result: Audit) -> None:
    """The figures, then a table each of label issues and of what else is worth a look."""
    print_line(f"Photos in {result.folder}", "bold")
    print_table(("", ""), facts(result), show_header=False)
    issues = [(one.path, one.label, one.suggested, f"{one.score:.4f}") for one in result.issues]
    _first_rows("Labels that are probably wrong", ("photo", "class", "suggested", "score"), issues)
    groups = [
        (str(number), photo.path, photo.label)
        for number, group in enumerate(result.contradictory, 1)
        for photo in group
    ]
    _first_rows("Duplicates in several classes", ("group", "photo", "class"), groups)
    for title, found in (
        ("Outliers", result.outliers or ()),
        ("Blurred photos", result.blurred),
        ("Dark photos", result.dark),
    ):
        _first_rows(title, ("photo", "class", "value", "median of the class"), _values(found))


def _values(found: Sequence[StandOut]) -> list[tuple[str, ...]]:
    return [(one.path, one.label, f"{one.value:.3g}", f"{one.typical:.3g}") for one in found]


def _first_rows(title: str, headers: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    """A table of at most `ROWS`; nothing for none."""
    if rows:
        print_table(headers, rows[:ROWS], title=title)
    if len(rows) > ROWS:
        print_line(f"and {len(rows) - ROWS:,} more: --json and --html FILE have more")


def applied_text(result: Applied) -> None:
    """The moves that were made, or would be, and the next command."""
    if not result.moves:
        why = "all its moves have already been made" if result.done else "it names no moves"
        print_line(f"Nothing to move in {escape_name(result.file)}: {why}")
        return
    for move in result.moves:
        print_line(f"{escape_name(move.source)} -> {escape_name(move.target)}")
    before = f" ({result.done:,} moved before)" if result.done else ""
    count, file = counted(len(result.moves), "photo"), quote(str(result.file))
    if result.dry_run:
        print_line(f"Would move {count}{before}. To move them:", "bold")
        print_line(f"  {program()} audit --apply {file} --yes")
    else:
        print_line(f"Moved {count}{before}. To undo it:", "bold")
        print_line(f"  {program()} audit --apply {quote(str(result.undo))} --yes")
