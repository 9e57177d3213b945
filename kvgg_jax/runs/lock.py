"""One process per run folder: locks that the system releases when their holder ends, however.

Two files hold a run. One is beside its folder, so it is there before the folder is and while that
is replaced. The other is inside, so it is the same file wherever the folder is mounted.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import platform
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from kvgg_jax.core.devices.hosts import is_main
from kvgg_jax.core.errors import RunError
from kvgg_jax.core.files import read_text

INSIDE, EVALUATION = ".lock", ".evaluation.lock"
NO_LOCKS = {errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS}
WAIT, PAUSE = 60.0, 0.05  # seconds for another evaluation to be written, and between two looks


def lock_file(run: Path) -> Path:
    """The lock beside the folder of a run."""
    return run.absolute().with_name(f".{run.absolute().name}.lock")


@contextlib.contextmanager
def locked(run: Path) -> Iterator[Callable[[], None]]:
    """Hold the run folder `run`, which need not exist yet: call what is given once it is made.

    Raises RunError naming the process that holds it, or when it cannot be locked.
    """
    if not is_main():  # it holds the folder for all
        yield lambda: None
        return
    with contextlib.ExitStack() as held:

        def hold_inside() -> None:
            held.enter_context(_holding(run / INSIDE, run))

        held.enter_context(_holding(lock_file(run.resolve()), run))
        if os.path.isdir(run) and os.listdir(run):  # an empty folder may be replaced
            hold_inside()
        yield hold_inside


@contextlib.contextmanager
def evaluation_lock(run: Path) -> Iterator[None]:
    """Hold the files of an evaluation of `run`, once another process has written its own.

    A training of the run does not matter. Raises RunError when it cannot be locked.
    """
    with _holding(run / EVALUATION, run, wait=WAIT):
        yield


@contextlib.contextmanager
def _holding(file: Path, run: Path, *, wait: float = 0.0) -> Iterator[None]:
    try:
        handle = _take(file, until=time.monotonic() + wait)
    except BlockingIOError:
        raise RunError(
            f"{run} is in use by {_holder(file)}. Wait for it, stop it, or choose another --name."
        ) from None
    except OSError as error:
        if error.errno in NO_LOCKS:
            file.unlink(missing_ok=True)
            raise RunError(
                f"Cannot lock {run}: its disk has no file locks ({error.strerror}), so two "
                "processes could write to it at once. Choose a folder on another disk with --out."
            ) from None
        raise RunError(f"Cannot lock {run} by {file}: {error.strerror}.") from None
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            if _is_at(handle, file):  # while it is still held: nobody can have taken it
                file.unlink()
        os.close(handle)


def _take(file: Path, *, until: float) -> int:
    """The locked handle of `file`. Raises BlockingIOError when another process still has it."""
    while True:
        handle = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_at(handle, file):
                os.truncate(handle, 0)
                os.write(handle, f"process {os.getpid()} on {platform.node()}".encode())
                return handle
        except BlockingIOError:
            if time.monotonic() >= until:
                os.close(handle)
                raise
            time.sleep(PAUSE)
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)  # its holder removed it between our two looks: try again


def _is_at(handle: int, file: Path) -> bool:
    return file.exists() and os.path.samestat(os.fstat(handle), file.stat())


def _holder(file: Path) -> str:
    try:
        return read_text(file) or "another process"
    except OSError:
        return "another process"  # which has ended meanwhile
