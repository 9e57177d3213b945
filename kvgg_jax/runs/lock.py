"""One process a run folder: a lock that the system lets go of when its holder ends, however."""

from __future__ import annotations

import contextlib
import fcntl
import os
import platform
from collections.abc import Iterator
from pathlib import Path

from kvgg_jax.core.errors import RunError
from kvgg_jax.core.files import read_text


def lock_file(run: Path) -> Path:
    """The lock of a run is beside its folder, so that the folder may be replaced."""
    return run.absolute().with_name(f".{run.absolute().name}.lock")


@contextlib.contextmanager
def locked(run: Path) -> Iterator[None]:
    """Hold the run folder `run`, which need not exist yet.

    Raises RunError naming the process that holds it, or when the lock cannot be written.
    """
    file = lock_file(run.resolve())
    try:
        handle = _take(file)
    except BlockingIOError:
        raise RunError(
            f"{run} is in use by {_holder(file)}. Wait for it, stop it, or choose another --name."
        ) from None
    except OSError as error:
        raise RunError(f"Cannot lock {run} by {file}: {error.strerror}.") from None
    try:
        yield
    finally:
        file.unlink(missing_ok=True)  # while it is still held: nobody can have taken it
        os.close(handle)


def _take(file: Path) -> int:
    """The locked handle of `file`. Raises BlockingIOError when another process has it."""
    while True:
        handle = os.open(file, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if file.exists() and os.path.samestat(os.fstat(handle), file.stat()):
                os.truncate(handle, 0)
                os.write(handle, f"process {os.getpid()} on {platform.node()}".encode())
                return handle
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)  # its holder removed it between our two looks: try again


def _holder(file: Path) -> str:
    try:
        return read_text(file) or "another process"
    except OSError:
        return "another process"  # which has ended meanwhile
