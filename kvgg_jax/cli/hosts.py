"""Several processes that run one command together."""

from __future__ import annotations

import os
import re
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer
from rich.console import Console

from kvgg_jax.cli.flags import as_flags
from kvgg_jax.cli.output import print_note
from kvgg_jax.cli.watcher import dismiss
from kvgg_jax.core.errors import KvggError, UsageError

PANEL = "Several processes"
LOST = re.compile("Gloo|[Cc]onnection|[Cc]oordination|heartbeat")  # in an error of JAX
AUTO = "auto"
Coordinator = Annotated[
    str | None,
    typer.Option(
        envvar="JAX_COORDINATOR_ADDRESS",
        help="Host and port of process 0.",
        rich_help_panel=PANEL,
    ),
]
Processes = Annotated[
    str | None,
    typer.Option(
        envvar="JAX_NUM_PROCESSES",
        help="How many train together; auto: as Slurm, Open MPI or Kubernetes say.",
        rich_help_panel=PANEL,
    ),
]
Process = Annotated[
    int | None,
    typer.Option(
        envvar="JAX_PROCESS_ID",
        min=0,
        help="Number of this process, from 0.",
        rich_help_panel=PANEL,
    ),
]


@contextmanager
def joined(
    coordinator: str | None, processes: str | None, process: int | None
) -> Iterator[Console]:
    """Together with the others, if there are any; the console is silent for all but process 0.

    An error is printed with the host, and ends the process at once: JAX would wait for the others,
    which wait for this one.
    """
    if processes is None:
        if coordinator is not None or process is not None:
            raise UsageError(
                "--coordinator and --process (JAX_COORDINATOR_ADDRESS and JAX_PROCESS_ID) need "
                "--processes (JAX_NUM_PROCESSES)."
            )
        yield Console(stderr=True)
        return
    from kvgg_jax.core.devices import hosts

    if processes != AUTO and not (processes.isascii() and processes.isdecimal()):
        raise UsageError(f"--processes {processes}: not a number, and not auto.")
    number = None if processes == AUTO else int(processes)
    if number is not None and (coordinator is None or process is None):
        raise UsageError(f"--processes {number} needs --coordinator HOST:PORT and --process.")
    kept = os.dup(1)
    os.dup2(2, 1)  # gloo writes about its connections to stdout
    try:
        hosts.join(coordinator, number, process)
        yield Console(stderr=True, quiet=not hosts.is_main())
    except typer.Exit:  # all end together
        raise
    except BaseException as error:
        if not hosts.are_several():  # could not join
            raise
        text = "".join(traceback.format_exception(error))
        if isinstance(error, KvggError):
            text = as_flags(str(error))
        elif LOST.search(str(error)):
            text = "lost another host. What was saved is intact: start all again with --resume."
        print_note(f"Error: {hosts.host_name()}: {text}", "red")
        sys.stderr.flush()
        dismiss()
        os._exit(error.exit_code if isinstance(error, KvggError) else 1)
    finally:
        os.dup2(kept, 1)
        os.close(kept)
