"""What a screen shows of a run, with a clock of its own."""

from __future__ import annotations

import io
from collections.abc import Callable

import pytest
from rich.console import Console

from kvgg_jax.console import PLAIN_EVERY, Screen
from kvgg_jax.events import Event, Note, Progress


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
    """930 of 1,000 steps were there before; a step of 32 pictures a second came since."""
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
    """What was done before it tells nothing of the time since."""
    later = PLAIN_EVERY + 1
    line = screen(
        (0.0, Progress("training", 0, 1000, 32, 1)),
        (500.0, Progress("training", 500, 1000, 32, 1)),
        (500.0, Note("a word")),
        (501.0, Progress("training", 501, 1000, 32, 1)),
        (501.0 + later, Progress("training", 501 + int(later), 1000, 32, 1)),
    )
    assert ", 32.0 images/s, " in line
