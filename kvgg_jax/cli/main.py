"""The program: its commands, and how its process starts and ends."""

from __future__ import annotations

import errno
import gc
import io
import os
import sys
import warnings

# In the order of --help:
from kvgg_jax.cli.commands import train, evaluate, predict, serve, runs  # noqa: F401  isort: skip
from kvgg_jax.cli.commands import search, export, measure, data, recipes  # noqa: F401  isort: skip
from kvgg_jax.cli.app import app
from kvgg_jax.cli.huge_pages import restart_with_huge_pages
from kvgg_jax.core.process import own_process

CLOSED = "Event loop is closed"
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def main() -> None:
    """Entry point of `kvgg` and of `cli.py`."""
    trains = sys.argv[1:2] in (["train"], ["crossval"], ["lr-find"], ["tune"], ["bench"])
    if trains and "--help" not in sys.argv:
        restart_with_huge_pages()
    own_process()
    gc.set_threshold(100_000)  # imports make half a million objects, which all stay
    # Pillow warns about odd files; only an ImageError decides whether a file can be used.
    warnings.filterwarnings("ignore", module=r"PIL\.")
    sys.unraisablehook = _ignore_late
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.encoding.lower() != "utf-8":
        sys.stdout.reconfigure(errors="backslashreplace")  # a name in another alphabet, say
    try:
        app()
    except OSError as error:
        if error.errno in FULL:
            print(f"Error: Cannot write the result: {error.strerror}.", file=sys.stderr)
        elif not isinstance(error, BrokenPipeError):  # as `| head` causes
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    finally:
        gc.freeze()  # collecting them at exit would take 0.4 s


def _ignore_late(found: sys.UnraisableHookArgs) -> None:
    """Ignore writes that end after orbax has closed their loop because another write of the same
    save failed: that failure is reported already."""
    if not (isinstance(found.exc_value, RuntimeError) and str(found.exc_value) == CLOSED):
        sys.__unraisablehook__(found)
