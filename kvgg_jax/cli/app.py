"""The application, and what its commands share: registration, errors, interruption.

A command turns its arguments into a configuration, calls the API, and prints the result. Heavy
libraries are imported in the command, so that `--help` answers at once.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from shlex import join
from typing import Annotated, Any, ParamSpec

import typer

from kvgg_jax.cli.console import Screen
from kvgg_jax.cli.flags import as_flags
from kvgg_jax.cli.output import print_line, print_note
from kvgg_jax.cli.signals import Stop
from kvgg_jax.core.errors import KvggError, Stopped, is_out_of_memory
from kvgg_jax.core.process import __version__
from kvgg_jax.core.text import program

app = typer.Typer(
    name="kvgg",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    help="Train, evaluate and use image classifiers from a folder of photos.",
)
P = ParamSpec("P")
OUT_OF_MEMORY = (
    "Out of memory. Use a smaller --batch-size, a smaller --image-size, or fewer photos."
)


def _version(asked: bool) -> None:
    if asked:
        print(f"kvgg_jax {__version__}")
        raise typer.Exit


@app.callback()
def _program(
    version: Annotated[
        bool,
        typer.Option("--version", is_eager=True, callback=_version, help="Show the version."),
    ] = False,
) -> None:
    """Train, evaluate and use image classifiers from a folder of photos."""


def command(
    name: str | None = None, *, cls: Any = None, group: typer.Typer = app
) -> Callable[[Callable[P, None]], Callable[P, None]]:
    """Make a function a command of `group`, with errors shown as one message on stderr."""

    def register(function: Callable[P, None]) -> Callable[P, None]:
        return group.command(name, cls=cls)(_handle_errors(function))

    return register


def _handle_errors(function: Callable[P, None]) -> Callable[P, None]:
    @functools.wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            function(*args, **kwargs)
            sys.stdout.flush()  # reports a full disk now, not when the process ends
        except KvggError as error:
            print_error(str(error))
            raise typer.Exit(error.exit_code) from None
        except KeyboardInterrupt:
            print_note("Stopped.")
            raise typer.Exit(130) from None
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            print_error(OUT_OF_MEMORY)
            raise typer.Exit(1) from None

    return run


@contextmanager
def stoppable(
    screen: Screen, report: Callable[[Screen, str | None], None], **messages: str
) -> Iterator[Stop]:
    """A `Stop` for the work in the block, with its `messages`.

    If it ends the work, `report` is called with what was saved (None: nothing yet), and the process
    ends with the exit code of the signal.
    """
    with Stop(screen.interject, **messages) as stop:
        try:
            yield stop
        except (Exception, KeyboardInterrupt) as ended:
            # a library that is being imported makes an ImportError of a KeyboardInterrupt
            if isinstance(ended, Exception) and not (
                isinstance(ended, Stopped) or stop.has_interrupted
            ):
                raise
            report(screen, f"{ended} Everything is saved." if isinstance(ended, Stopped) else None)
            raise typer.Exit(stop.exit_code) from None


def repeat_to_resume(screen: Screen, saved: str | None) -> None:
    """The report of `stoppable` for a command that resumes its own work."""
    print_line(f"{saved or 'Stopped.'} To resume, repeat the command:", console=screen.console)
    print_line(f"  {program()} {join(sys.argv[1:])}", console=screen.console)


def print_error(text: str) -> None:
    """An error on stderr, with settings as flags."""
    print_note(f"Error: {as_flags(text)}", "red")


def end_with(errors: Collection[str]) -> None:
    """Print the errors of single images; if there are any, end with exit code 1."""
    for error in errors:
        print_error(error)
    if errors:
        raise typer.Exit(1)
