"""The program: its commands, and how its process starts and ends."""

from __future__ import annotations

import functools
import gc
import io
import os
import re
import sys
import warnings
from typing import Any

# In the order of --help:
from kvgg_jax.cli.commands import train, evaluate, predict, serve, runs  # noqa: F401  isort: skip
from kvgg_jax.cli.commands import similar, search, export, measure  # noqa: F401  isort: skip
from kvgg_jax.cli.commands import data, audit, recipes  # noqa: F401  isort: skip
from kvgg_jax.cli.app import app
from kvgg_jax.cli.huge_pages import restart_with_huge_pages
from kvgg_jax.cli.output import print_note
from kvgg_jax.core.errors import is_disk_full
from kvgg_jax.core.process import own_process

CACHE = re.compile(r"Error (reading|writing) persistent compilation cache entry")
CLOSED = "Event loop is closed"
_show_any_warning = warnings.showwarning


def main() -> None:
    """Entry point of `kvgg` and of `cli.py`."""
    _open_streams()
    if os.environ.get("COLUMNS", "").strip("0") == "":
        os.environ.pop("COLUMNS", None)  # Rich prints nothing in a terminal of 0 columns
    trains = sys.argv[1:2] in (["train"], ["crossval"], ["lr-find"], ["tune"], ["bench"])
    if trains and "--help" not in sys.argv:
        restart_with_huge_pages()
    own_process()
    gc.set_threshold(100_000)  # imports make half a million objects, which all stay
    # Pillow warns about odd files; only an ImageError decides whether a file can be used.
    warnings.filterwarnings("ignore", module=r"PIL\.")
    warnings.showwarning = _show_warning
    sys.unraisablehook = _ignore_late
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.encoding.lower() != "utf-8":
        sys.stdout.reconfigure(errors="backslashreplace")  # a name in another alphabet, say
    try:
        app()
    except OSError as error:
        if is_disk_full(error):
            print(f"Error: Cannot write the result: {error.strerror}.", file=sys.stderr)
        elif not isinstance(error, BrokenPipeError):  # as `| head` causes
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    finally:
        gc.freeze()  # collecting them at exit would take 0.4 s


def _open_streams() -> None:
    """Open the null device for each standard stream that is closed (`2>&-`).

    Otherwise the next file that is opened gets its number, and libraries write errors into it.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.dup2(os.open(os.devnull, os.O_RDWR), number)  # open takes the lowest free number
            os.set_inheritable(number, True)
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))  # noqa: SIM115, PTH123  # until the end


def _show_warning(message: Warning | str, *where: Any, **more: Any) -> None:
    """One plain sentence on the cache of compiled programs, of which JAX warns at each program."""
    if not CACHE.match(str(message)):
        _show_any_warning(message, *where, **more)
    elif reason := re.search(r"\[Errno \d+\] ([^:]+)", str(message)):
        _report_cache(reason[1])
    # else the entry is damaged: it is compiled and written again


@functools.cache
def _report_cache(reason: str) -> None:
    folder = sys.modules["jax"].config.values["jax_compilation_cache_dir"]
    print_note(f"Cannot keep compiled programs in {folder}: {reason}. They are compiled each time.")


def _ignore_late(found: sys.UnraisableHookArgs) -> None:
    """Ignore writes that end after orbax has closed their loop because another write of the same
    save failed: that failure is reported already."""
    if not (isinstance(found.exc_value, RuntimeError) and str(found.exc_value) == CLOSED):
        sys.__unraisablehook__(found)
