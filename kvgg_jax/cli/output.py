"""What is printed: lines, tables and JSON on stdout, notes on stderr."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from kvgg_jax.core.text import escape_name, printable


def print_line(text: str, style: str = "", *, console: Console | None = None) -> None:
    """Print `text` as it is: no markup, no guessed colors, no line breaks inside a path."""
    (console or Console()).print(Text(printable(text), style), soft_wrap=True)


def print_note(text: str, style: str = "") -> None:
    """A line on stderr, where everything goes that is not the result."""
    print_line(text, style, console=Console(stderr=True))


def print_table(
    headers: Iterable[str],
    rows: Iterable[Sequence[str | Text]],
    *,
    right: slice = slice(0, 0),
    **look: Any,
) -> None:
    """Print a table; `right` are the columns of numbers, `look` are options of Rich."""
    table = Table(*(Column(cell(name)) for name in headers), **look)
    for column in table.columns[right]:
        column.justify = "right"
    for row in rows:
        table.add_row(*map(cell, row))
    Console().print(table)


def cell(text: str | Text, style: str = "") -> Text:
    """A cell of a table: names as they are, no markup."""
    return text if isinstance(text, Text) else Text(escape_name(text), style)


def print_json(value: Any) -> None:
    """The result, on stdout."""
    import json

    print(json.dumps(_finite(value), indent=2))


def _finite(value: Any) -> Any:
    """`value` with null for NaN and infinity, which JSON does not have."""
    if isinstance(value, dict):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
