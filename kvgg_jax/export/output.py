"""A new file, or folder, that is put in place whole or not at all."""

from __future__ import annotations

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
def delivered(path: Path) -> Iterator[Path]:
    """Gives where to write what is to become `path`, and files beside it; moves them at the end.

    After an error, and after a loss of power, there is what was there before; but a folder that is
    replaced is put aside for the moment of the move. Raises RunError when it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as folder:
            new = Path(folder, path.name)
            yield new
            for written in Path(folder).rglob("*"):
                flush(written)
            others = [one for one in Path(folder).iterdir() if one != new]
            if os.path.isdir(path):  # which no single move replaces
                path.replace(Path(folder, f"{path.name}.old"))
            for one in (*others, new):  # whoever sees the file finds what explains it
                one.replace(path.with_name(one.name))
            flush(path.parent)
        sweep(path.parent, f".{glob.escape(path.name)}.{'?' * 8}")  # as `TemporaryDirectory` names
    except OSError as error:
        raise _not_writable(path, error) from None


def _not_writable(path: Path, error: OSError) -> RunError:
    return RunError(
        f"Cannot write {escape_name(path)}: {error.strerror or error}. Choose another --output."
    )
