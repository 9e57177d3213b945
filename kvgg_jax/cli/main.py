"""The program: every command, and how the process starts and ends."""

from __future__ import annotations

import errno
import gc
import io
import os
import sys
import warnings

# In the order of --help:
from kvgg_jax.cli.commands import train, crossval, evaluate, explain, report  # noqa: F401  isort: skip
from kvgg_jax.cli.commands import serve, runs, search, export, measure, data, recipes  # noqa: F401  isort: skip
from kvgg_jax.cli.app import app
from kvgg_jax.cli.huge_pages import restart_with_huge_pages
from kvgg_jax.core.process import own_process

CLOSED = "Event loop is closed"
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def main() -> None:
    """Entry point of `kvgg` and of `cli.py`."""
    works = sys.argv[1:2] in (["train"], ["crossval"], ["lr-find"], ["tune"], ["bench"])
    if works and "--help" not in sys.argv:
        restart_with_huge_pages()
    own_process()
    gc.set_threshold(100_000)  # imports make half a million objects, and all of them stay
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
        elif not isinstance(error, BrokenPipeError):  # whose reader went away, as `| head` does
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    finally:
        gc.freeze()  # as the process ends, going through them would take 0.4 s


def _ignore_late(found: sys.UnraisableHookArgs) -> None:
    """Say nothing of writes that come back after orbax has closed their loop, since another one
    of the same save has failed: that failure is reported already."""
    if not (isinstance(found.exc_value, RuntimeError) and str(found.exc_value) == CLOSED):
        sys.__unraisablehook__(found)
