"""Names, durations and numbers in messages."""

from __future__ import annotations

import math
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvgg_jax.core.text import (
    counted,
    csv_cell,
    duration,
    escape_name,
    figure,
    first_names,
    from_csv_cell,
    printable,
    program,
)


def test_what_a_terminal_would_obey_is_escaped() -> None:
    """A name may hold a line end, an escape sequence, or a byte that is not UTF-8."""
    assert escape_name("a\n\x1b[31m\udcff\u202ebж") == r"a\n\x1b[31m\udcff\u202ebж"
    assert printable("a\x07\nb") == "a\\x07\nb"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0:00"), (95.2, "1:35"), (3599.7, "1:00:00"), (math.inf, "-")],
)
def test_a_duration_has_hours_only_from_one_on(seconds: float, text: str) -> None:
    """Rounded to seconds."""
    assert duration(seconds) == text


def test_what_is_counted_is_singular_or_plural() -> None:
    """With separators between the thousands."""
    assert [counted(n, "photo") for n in (0, 1, 1200)] == ["0 photos", "1 photo", "1,200 photos"]


def test_an_unknown_number_is_a_dash() -> None:
    """Not 0, which would be a value."""
    assert (figure(None, ".4f"), figure(0.25, ".4f")) == ("-", "0.2500")


@pytest.mark.parametrize(
    ("started", "name"), [("/x/cli.py", "python cli.py"), ("/usr/bin/kvgg", "kvgg"), ("-c", "kvgg")]
)
def test_suggested_commands_begin_as_the_user_started_the_program(
    monkeypatch: pytest.MonkeyPatch, started: str, name: str
) -> None:
    """So that they can be pasted."""
    monkeypatch.setattr(sys, "argv", [started])
    assert program() == name


@pytest.mark.parametrize(
    ("name", "cell"),
    [
        ("=1+1", "'=1+1"),
        ("+1", "'+1"),
        ("-a.png", "'-a.png"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "'\t=1"),
        ("＝1", "'＝1"),  # noqa: RUF001
        ("'=1", "''=1"),
        ("'90s", "'90s"),
        ("a=1", "a=1"),
        ("", ""),
    ],
)
def test_a_name_that_a_spreadsheet_would_run_gets_an_apostrophe(name: str, cell: str) -> None:
    """As OWASP advises; other names stay as they are."""
    assert csv_cell(name) == cell


@given(st.text())
def test_a_cell_gives_its_name_back(name: str) -> None:
    """Whatever it begins with."""
    assert from_csv_cell(csv_cell(name)) == name


def test_the_first_names_of_many_are_told() -> None:
    """Three of them, escaped."""
    told = [first_names(names) for names in ([], ["a"], ["a\n", "b", "c"], ["a", "b", "c", "d"])]
    assert told == ["", "a", "a\\n, b, c", "a, b, c, ..."]
