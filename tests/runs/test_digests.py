"""A sealed folder tells every change of every file."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from pathlib import Path
from typing import NoReturn

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvgg_jax.runs import digests
from kvgg_jax.runs.digests import SUMS, fault, identity, seal


def fill(folder: Path) -> Path:
    (folder / "deep" / "er").mkdir(parents=True)
    (folder / "a").write_bytes(b"alpha")
    (folder / "deep" / "b c").write_bytes(b"beta")
    (folder / "deep" / "er" / "empty").write_bytes(b"")
    seal(folder)
    return folder


def test_a_folder_as_it_was_sealed_has_no_fault(tmp_path):
    """And the list is the one of coreutils, for a check without this program."""
    folder = fill(tmp_path)
    assert fault(folder) is None
    names = [line.partition("  ")[2] for line in (folder / SUMS).read_text().splitlines()]
    assert names == ["a", "deep/b c", "deep/er/empty"]
    if shutil.which("sha256sum"):
        subprocess.run(["sha256sum", "--quiet", "-c", SUMS], cwd=folder, check=True)


def test_the_identity_is_that_of_the_content(tmp_path):
    """The same in a copy; another for any other content."""
    folder = fill(tmp_path / "a")
    sealed, copy = identity(folder), shutil.copytree(folder, tmp_path / "b")
    assert identity(copy) == sealed
    (copy / "a").write_bytes(b"alphb")
    seal(copy)
    assert identity(copy) != sealed
    with pytest.raises(FileNotFoundError):
        identity(tmp_path / "c")


def test_each_kind_of_change_is_named(tmp_path):
    """Changed, missing, new, and a list that is gone or cut short."""
    folder = fill(tmp_path)
    (folder / "a").write_bytes(b"alphb")
    assert fault(folder) == "a has changed since it was written"
    (folder / "a").unlink()
    assert fault(folder) == "a is missing"
    (folder / "a").write_bytes(b"alpha")
    (folder / "deep" / "new").touch()
    assert fault(folder) == f"deep/new is not listed in {SUMS}"
    (folder / "deep" / "new").unlink()
    assert fault(folder) is None
    sums = folder / SUMS
    sums.write_text("".join(sums.read_text().splitlines(keepends=True)[:-1]))
    assert fault(folder) == f"deep/er/empty is not listed in {SUMS}"
    sums.unlink()
    assert fault(folder) == f"{SUMS} cannot be read: No such file or directory"


@pytest.fixture(scope="module")
def sealed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fill(tmp_path_factory.mktemp("sealed"))


@given(name=st.sampled_from(["a", "deep/b c", SUMS]), data=st.data())
def test_no_flipped_bit_anywhere_goes_unseen(sealed, name, data):
    """In the files and in the list itself."""
    file = sealed / name
    content = file.read_bytes()
    where = data.draw(st.integers(0, len(content) * 8 - 1))
    changed = bytearray(content)
    changed[where // 8] ^= 1 << where % 8
    try:
        file.write_bytes(changed)
        assert fault(sealed) is not None
    finally:
        file.write_bytes(content)
    assert fault(sealed) is None


def test_a_disk_that_fails_is_named_by_the_file_it_was_to_read(tmp_path, monkeypatch):
    """The error of a read, unlike that of an open, does not know its file."""

    def fail(file: Path) -> str:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    fill(tmp_path)
    monkeypatch.setattr(digests, "digest", fail)
    assert fault(tmp_path) == "a cannot be read: Input/output error"


def test_a_list_with_a_flipped_bit_still_has_an_identity(tmp_path):
    """That is not the old one, even where the list is no UTF-8 any more."""
    folder = fill(tmp_path)
    old, sums = identity(folder), folder / SUMS
    sums.write_bytes(b"\xff" + sums.read_bytes()[1:])
    assert identity(folder) != old
    assert fault(folder) == "a has changed since it was written"


def test_a_folder_that_goes_while_it_is_looked_through_is_no_traceback(tmp_path, monkeypatch):
    """A run that is saving puts a newer step in its place."""

    def gone(folder: Path) -> NoReturn:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))

    fill(tmp_path)
    monkeypatch.setattr(digests, "_files", gone)
    assert fault(tmp_path) == f"{tmp_path.name} cannot be read: No such file or directory"
