"""A new file, or folder, that is put in place whole or not at all."""

from __future__ import annotations

import contextlib
import fcntl
import glob
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kvgg_jax.core.errors import RunError
from kvgg_jax.core.files import flush, sweep
from kvgg_jax.core.text import escape_name


def check_free(path: Path, *, overwrite: bool, mark: str | None = None) -> None:
    """Raises RunError where something stands that may not be replaced.

    `mark` is a file inside that shows that a folder is of the kind to be written.
    """
    try:
        empty = os.path.isdir(path) and not any(path.iterdir())
    except OSError as error:
        raise _not_writable(path, error) from None
    if empty or not os.path.lexists(path):  # `os.path`, which never raises, as for a name too long
        return
    if not overwrite:
        raise RunError(
            f"{escape_name(path)} already exists. Choose another --output, or replace it with "
            "--overwrite."
        )
    ours = os.path.isfile(path / mark if mark else path)
    if not ours:
        raise RunError(
            f"{escape_name(path)} is not what is to be written there, so --overwrite leaves it "
            "alone."
        )


@contextmanager
def delivered(path: Path, *, overwrite: bool, mark: str | None = None) -> Iterator[Path]:
    """Gives where to write what is to become `path`, and files beside it; moves them at the end.

    After an error, and after a loss of power, there is what was there before. A process killed in
    the middle of the moves can leave `path` absent, never a new file beside an old one. Raises
    RunError when it cannot be written, or another process has written there in the meantime.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as folder:
            new = Path(folder, path.name)
            yield new
            for written in Path(folder).rglob("*"):
                flush(written)
            with _locked(path.parent):
                beside = [path.with_name(one.name) for one in Path(folder).iterdir() if one != new]
                check_free(path, overwrite=overwrite, mark=mark)
                for one in beside:
                    check_free(one, overwrite=overwrite)
                _move(new.parent, [path, *beside])
            flush(path.parent)
        sweep(path.parent, f".{glob.escape(path.name)}.{'?' * 8}")  # as `TemporaryDirectory` names
    except OSError as error:
        raise _not_writable(path, error) from None


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """One process at a time, where the file system has locks."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _move(source: Path, targets: list[Path]) -> None:
    """Put `targets` in place, the first one last. One file is a single move; a folder, or several
    files, are not, so what is there is put aside first."""
    aside = Path(tempfile.mkdtemp(dir=source))
    old = [one for one in targets if os.path.lexists(one)]
    if len(targets) == 1 and not os.path.isdir(targets[0]):
        old = []
    try:
        for one in old:
            one.replace(aside / one.name)
        for one in reversed(targets):
            (source / one.name).replace(one)
    except BaseException:
        for one in reversed(old):
            if os.path.lexists(aside / one.name):
                (aside / one.name).replace(one)
        raise


def _not_writable(path: Path, error: OSError) -> RunError:
    return RunError(
        f"Cannot write {escape_name(path)}: {error.strerror or error}. Choose another --output."
    )
