"""What the commands share: errors as messages, and work that a signal ends."""

from __future__ import annotations

import io
import os
import signal
import sys
import time
from collections.abc import Iterator

import pytest
import typer
from rich.console import Console

from kvgg_jax.cli.app import OUT_OF_MEMORY, end_with, repeat_to_resume, stoppable
from kvgg_jax.cli.console import Screen
from kvgg_jax.cli.signals import NUMBERS
from kvgg_jax.cli.text import summary
from support.commands import kvgg, message


@pytest.fixture
def heeded() -> Iterator[None]:
    """A test run in the background of a script ignores Ctrl-C, and `Stop` would too."""
    before = {number: signal.signal(number, signal.default_int_handler) for number in NUMBERS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("heeded")
def test_a_signal_that_an_import_swallowed_is_a_stop_all_the_same():
    """An extension module makes an ImportError of a KeyboardInterrupt."""
    told = []

    def work():
        console = Console(file=io.StringIO())
        with Screen(console) as screen, stoppable(screen, lambda _, saved: told.append(saved)):
            try:
                os.kill(os.getpid(), signal.SIGTERM)
                time.sleep(10)
            except KeyboardInterrupt:
                raise ImportError("Encountered an error") from None

    with pytest.raises(typer.Exit) as ended:
        work()
    assert (ended.value.exit_code, told) == (143, [None])


@pytest.mark.usefixtures("heeded")
def test_each_run_of_several_rests_before_it_is_prepared():
    """As `crossval` and `tune` are given `rest` to call before each."""
    told: list[str | None] = []

    def work():
        console = Console(file=io.StringIO())
        with Screen(console) as screen, stoppable(screen, lambda _, saved: told.append(saved)) as s:
            for _ in range(2):
                s.rest()
                assert not s()
            s.rest()
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(10)

    with pytest.raises(typer.Exit) as ended:
        work()
    assert (ended.value.exit_code, told) == (130, [None])


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("RESOURCE_EXHAUSTED: no")], ids=repr)
def test_a_command_without_batches_says_it_too(error: Exception, monkeypatch):
    """The last resort, for all that no part of the program expects."""

    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(summary, "layers_text", fail)
    result = kvgg("summary")
    assert (result.exit_code, message(result)) == (1, f"Error: {OUT_OF_MEMORY}\n")


def test_the_errors_of_images_are_printed_and_end_the_command(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """With settings as flags; without errors nothing happens."""
    end_with([])
    with pytest.raises(typer.Exit) as ended:
        end_with(["a.png: is empty.", "b.png: lower `train.batch_size`."])
    assert ended.value.exit_code == 1
    assert capsys.readouterr().err.splitlines() == [
        "Error: a.png: is empty.",
        "Error: b.png: lower --batch-size.",
    ]


def test_a_stopped_command_is_repeated_to_resume(monkeypatch: pytest.MonkeyPatch) -> None:
    """As it was typed, with what needs quotes in quotes."""
    monkeypatch.setattr(sys, "argv", ["kvgg", "tune", "--data", "my photos"])
    text = io.StringIO()
    repeat_to_resume(Screen(Console(file=text)), "Stopped. Everything is saved.")
    repeat_to_resume(Screen(Console(file=text)), None)
    assert text.getvalue().splitlines() == [
        "Stopped. Everything is saved. To resume, repeat the command:",
        "  kvgg tune --data 'my photos'",
        "Stopped. To resume, repeat the command:",
        "  kvgg tune --data 'my photos'",
    ]
