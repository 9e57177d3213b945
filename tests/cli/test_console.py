"""What a screen shows of a run, with a clock of its own."""

from __future__ import annotations

import io
from collections.abc import Callable

import pytest
from rich.console import Console

from kvgg_jax.cli.console import PLAIN_EVERY, Screen
from kvgg_jax.core.events import EpochEnded, Event, Note, Progress
from kvgg_jax.core.history import Epoch


@pytest.fixture
def screen() -> Callable[..., str]:
    """Shows events, each with the second it comes at; gives the last line."""

    def show(*timed: tuple[float, Event]) -> str:
        seconds, text = [0.0], io.StringIO()
        screen = Screen(Console(file=text, width=200), clock=lambda: seconds[0])
        for seconds[0], event in timed:
            screen(event)
        return text.getvalue().splitlines()[-1]

    return show


def test_the_speed_after_a_resume_is_that_of_this_start(screen: Callable[..., str]) -> None:
    """930 of 1,000 steps were there before; since then one step of 32 images per second."""
    later = PLAIN_EVERY + 1
    line = screen(
        (0.0, Progress("training", 930, 1000, 32, 3)),
        (later, Progress("training", 930 + int(later), 1000, 32, 3)),
    )
    left = 70 - int(later)
    assert line == (
        f"epoch 3 training: {930 + int(later)} of 1000, 32.0 images/s, "
        f"{left // 60}:{left % 60:02} left"
    )


def test_a_note_amid_an_epoch_does_not_change_its_speed(screen: Callable[..., str]) -> None:
    """Only the work of this start counts."""
    later = PLAIN_EVERY + 1
    line = screen(
        (0.0, Progress("training", 0, 1000, 32, 1)),
        (500.0, Progress("training", 500, 1000, 32, 1)),
        (500.0, Note("a word")),
        (501.0, Progress("training", 501, 1000, 32, 1)),
        (501.0 + later, Progress("training", 501 + int(later), 1000, 32, 1)),
    )
    assert ", 32.0 images/s, " in line


def test_a_download_has_a_speed_of_its_own_unit(screen: Callable[..., str]) -> None:
    """Megabytes, not images."""
    line = screen(
        (0.0, Progress("downloading", 0, 100, unit="MB")),
        (40.0, Progress("downloading", 60, 100, unit="MB")),
    )
    assert line == "downloading: 60 of 100, 1.5 MB/s, 0:27 left"


def test_what_has_no_known_end_has_a_count_and_a_speed(screen: Callable[..., str]) -> None:
    """And no time that is left."""
    line = screen(
        (0.0, Progress("listing", 0, None, unit="files")),
        (40.0, Progress("listing", 6000, None, unit="files")),
    )
    assert line == "listing: 6000 files, 150.0 files/s"


def test_a_bar_without_an_end_shows_the_count() -> None:
    """It moves meanwhile."""
    text = io.StringIO()
    with Screen(Console(file=text, force_terminal=True, width=120)) as screen:
        screen(Progress("listing", 6000, None, unit="files"))
        screen._bars.refresh()
    assert "listing" in text.getvalue()
    assert "6000/?" in text.getvalue()


def test_a_terminal_has_a_bar_that_is_taken_down_and_the_best_epoch_in_green() -> None:
    """Above the bar, line by line; nothing of it stays."""
    text = io.StringIO()
    terminal = Console(file=text, force_terminal=True, color_system="standard", width=120)
    with Screen(terminal) as screen:
        screen(Progress("training", 0, 4, 32, 1))
        screen(Progress("training", 2, 4, 32, 1))
        screen._bars.refresh()
        assert "epoch 1 training" in text.getvalue()
        assert "2/4" in text.getvalue()
        screen(EpochEnded(Epoch(1, 0.5, 0.8, 0.4, 0.9, 1e-4, 2.0, 64.0), 3, is_best=True))
        assert screen._bars is None
    row = next(line for line in text.getvalue().splitlines() if "1/3" in line)
    assert "\x1b[32m" in row
    assert "best" in row
