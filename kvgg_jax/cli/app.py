"""What the commands share: the application, its options and its way to answer.

A command translates: arguments -> configuration -> the API -> text, JSON, exit code. Nothing heavy
is imported before a command needs it, so that `--help` answers at once.
"""

from __future__ import annotations

import functools
import math
import sys
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, ParamSpec

import typer
from rich.console import Console

from kvgg_jax.cli import completion
from kvgg_jax.cli.console import Screen, print_line
from kvgg_jax.cli.flags import as_flags
from kvgg_jax.cli.signals import Stop
from kvgg_jax.core.errors import KvggError, Stopped, is_out_of_memory
from kvgg_jax.core.process import __version__

app = typer.Typer(
    name="kvgg",
    no_args_is_help=True,
    add_completion=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    help="Train, evaluate and use image classifiers from a folder of photos.",
)

P = ParamSpec("P")


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


Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON on stdout.")]
Out = Annotated[Path, typer.Option("--out", help="Folder that holds the runs.")]
RunOption = Annotated[
    str | None,
    typer.Option(
        "--run",
        help="Run folder or name. Default: the newest finished run.",
        autocompletion=completion.runs,
    ),
]
SkipBad = Annotated[
    bool | None, typer.Option("--skip-bad/--no-skip-bad", help="Leave out unreadable photos.")
]
BatchSize = Annotated[
    int | None, typer.Option(min=1, help="Photos per batch. Default: as in training.")
]
Raw = Annotated[bool, typer.Option("--raw", help="Use uncalibrated probabilities.")]
UnsureBelow = Annotated[
    float | None,
    typer.Option(
        min=0, max=1, help="Say 'unsure' below this probability. Default: 0.7 if calibrated."
    ),
]
RUNS = Path("runs")
OUT_OF_MEMORY = (
    "Out of memory. Use a smaller --batch-size, a smaller --image-size, or fewer photos."
)


def handle_errors(command: Callable[P, None]) -> Callable[P, None]:
    """Turn the errors made for the user into one message on stderr and an exit code."""

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            command(*args, **kwargs)
            if sys.stdout is not None:  # as where it was closed
                sys.stdout.flush()  # a disk that is full says so now, not as the process ends
        except KvggError as error:
            print_line(stderr_console(), f"Error: {as_flags(str(error))}", "red")
            raise typer.Exit(error.exit_code) from None
        except KeyboardInterrupt:
            print_line(stderr_console(), "Stopped.")
            raise typer.Exit(130) from None
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            print_line(stderr_console(), f"Error: {OUT_OF_MEMORY}", "red")
            raise typer.Exit(1) from None

    return run


@contextmanager
def stoppable(
    screen: Screen, tell: Callable[[Screen, str | None], None], **said: str
) -> Iterator[Stop]:
    """A `Stop` for the work in the block; where it ended the work, its exit code is that of the
    process, once `tell` was given what is saved: None before there was anything to save. `said`
    are the words of `Stop` for the signals.
    """
    with Stop(screen.interject, **said) as stop:
        try:
            yield stop
        except (Exception, KeyboardInterrupt) as ended:
            # a library that is being imported makes an ImportError of a KeyboardInterrupt
            if isinstance(ended, Exception) and not (
                isinstance(ended, Stopped) or stop.has_interrupted
            ):
                raise
            tell(screen, f"{ended} Everything is saved." if isinstance(ended, Stopped) else None)
            raise typer.Exit(stop.exit_code) from None


def end_with(errors: Collection[str]) -> None:
    """Say what was wrong with some of the pictures, and end with exit code 1 where there is any."""
    for error in errors:
        print_line(stderr_console(), f"Error: {as_flags(error)}", "red")
    if errors:
        raise typer.Exit(1)


def stderr_console() -> Console:
    """Where all goes that is not the result."""
    return Console(stderr=True)


def print_json(value: Any) -> None:
    """The result, on stdout."""
    import json

    print(json.dumps(_finite(value), indent=2))


def _finite(value: Any) -> Any:
    """JSON has no NaN and no infinity: null in their place."""
    if isinstance(value, dict):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
