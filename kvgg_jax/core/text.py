"""Pieces of messages: escaped names, durations, the name of the program."""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Iterable
from pathlib import Path

NAMED = 3  # files in one message
_FORMULA = re.compile(r"'*[=+\-@\t\r\n＝＋－＠]")  # noqa: RUF001  # OWASP, "CSV Injection"


def printable(text: str) -> str:
    """`text` with control characters and broken bytes escaped, except line ends."""
    return "\n".join(map(escape_name, text.split("\n")))


def program() -> str:
    """The name that the user started, for suggested commands."""
    return "python cli.py" if Path(sys.argv[0]).name == "cli.py" else "kvgg"


def duration(seconds: float) -> str:
    """95.2 -> "1:35"; a dash for what is no time."""
    if not math.isfinite(seconds):
        return "-"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def figure(value: float | None, form: str) -> str:
    """`value` in the format `form`; a dash where it is not known."""
    return "-" if value is None else format(value, form)


def counted(number: int, name: str) -> str:
    """(1, "photo") -> "1 photo"; (2, "photo") -> "2 photos"."""
    return f"{number:,} {name}{'s' * (number != 1)}"


def first_names(names: Iterable[object]) -> str:
    """`"a, b, c, ..."`: the first `NAMED`, escaped."""
    escaped = [escape_name(name) for name in names]
    return ", ".join([*escaped[:NAMED], *["..."] * (len(escaped) > NAMED)])


def escape_name(name: object) -> str:
    """The name of a file or class for one line of text; unprintable characters are escaped."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in str(name))


def csv_cell(text: str) -> str:
    """`text` with a `'` in front where a spreadsheet would run it as a formula."""
    return f"'{text}" if _FORMULA.match(text) else text


def from_csv_cell(cell: str) -> str:
    """The inverse of `csv_cell`."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell


def qualified_name(given: object) -> str:
    """`"module.function"`, or `"module.Class"` for an object of that class."""
    named = given if hasattr(given, "__qualname__") else type(given)
    return f"{named.__module__}.{named.__qualname__}"
