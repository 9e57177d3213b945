"""Lines, tables and JSON as they are printed."""

from __future__ import annotations

import json
import math

import pytest

from kvgg_jax.cli.output import cell, print_json, print_line, print_note, print_table


def test_a_line_is_printed_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    """No markup, no line break at 80 columns; control characters are escaped."""
    path = "[bold]" + "long-name-" * 20 + "\x1b[31m"
    print_line(path)
    print_note("note")
    found = capsys.readouterr()
    assert (found.out, found.err) == (path.replace("\x1b", r"\x1b") + "\n", "note\n")


def test_a_table_has_its_numbers_on_the_right(capsys: pytest.CaptureFixture[str]) -> None:
    """And names as they are."""
    rows = [("[red]", "1"), ("a\n", cell("10", "green"))]
    print_table(("name", "count"), rows, right=slice(1, None), box=None)
    assert [line.rstrip() for line in capsys.readouterr().out.splitlines()] == [
        " name   count",
        " [red]      1",
        r" a\n       10",
    ]


def test_json_has_null_where_a_number_is_not_finite(capsys: pytest.CaptureFixture[str]) -> None:
    """Other programs cannot read NaN."""
    print_json({"a": [math.nan, 1.5], "b": (math.inf,), "c": "NaN"})
    assert json.loads(capsys.readouterr().out) == {"a": [None, 1.5], "b": [None], "c": "NaN"}
