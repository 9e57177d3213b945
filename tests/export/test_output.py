"""A file comes whole or not at all, and never in the place of something else."""

from __future__ import annotations

import errno
import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

from kvgg_jax.core.errors import RunError
from kvgg_jax.export.output import check_free, delivered
from support.runs import ROOT


def test_a_file_and_what_explains_it_are_put_in_place(tmp_path: Path) -> None:
    """In a folder that is made; nothing else is left there."""
    with delivered(tmp_path / "new" / "x", overwrite=False) as new:
        new.write_text("file")
        new.with_name("x.json").write_text("beside")
        assert not (tmp_path / "new" / "x").exists()
    assert {path.name: path.read_text() for path in (tmp_path / "new").iterdir()} == {
        "x": "file",
        "x.json": "beside",
    }


def test_a_folder_replaces_a_folder(tmp_path: Path) -> None:
    """Whole: no file of the old one stays."""
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "old").touch()
    with delivered(tmp_path / "x", overwrite=True, mark="old") as new:
        (new / "below").mkdir(parents=True)
        (new / "below" / "file").touch()
    assert [path.name for path in (tmp_path / "x").rglob("*")] == ["below", "file"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_after_an_error_all_is_as_before(tmp_path: Path, error: type[BaseException]) -> None:
    """Ctrl-C too."""
    (tmp_path / "x").write_text("old")

    def fail(new: Path) -> None:
        new.write_text("half")
        raise error

    with pytest.raises(error), delivered(tmp_path / "x", overwrite=True) as new:
        fail(new)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"x": "old"}


def test_a_place_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    """With the next move."""
    (tmp_path / "file").touch()
    with pytest.raises(RunError) as caught, delivered(tmp_path / "file" / "x", overwrite=False):
        pass
    assert str(caught.value) == (
        f"Cannot write {tmp_path / 'file' / 'x'}: File exists. Choose another --output."
    )


def test_what_is_there_is_refused_without_overwrite(tmp_path: Path) -> None:
    """A file, a link that leads nowhere, a folder; an empty folder is as good as none."""
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("nowhere")
    (tmp_path / "folder").mkdir()
    check_free(tmp_path / "folder", overwrite=False)
    (tmp_path / "folder" / "photo.png").touch()
    for name in ("file", "link", "folder"):
        with pytest.raises(RunError) as caught:
            check_free(tmp_path / name, overwrite=False)
        assert str(caught.value) == (
            f"{tmp_path / name} already exists. Choose another --output, or replace it with "
            "--overwrite."
        )


def test_overwrite_replaces_what_is_of_the_kind_and_nothing_else(tmp_path: Path) -> None:
    """A folder of photos is no SavedModel, and no file."""
    (tmp_path / "file").touch()
    for name, file in (("photos", "1.png"), ("model", "mark")):
        (tmp_path / name).mkdir()
        (tmp_path / name / file).touch()
    check_free(tmp_path / "file", overwrite=True)
    check_free(tmp_path / "model", overwrite=True, mark="mark")
    for name, mark in (("photos", "mark"), ("photos", None), ("model", None), ("file", "mark")):
        with pytest.raises(RunError) as caught:
            check_free(tmp_path / name, overwrite=True, mark=mark)
        assert str(caught.value) == (
            f"{tmp_path / name} is not what is to be written there, so --overwrite leaves it alone."
        )


def test_a_name_that_no_file_can_have_is_an_error(tmp_path: Path) -> None:
    """`Path.exists` and its like raise for it."""
    long = tmp_path / ("n" * 300)
    check_free(long, overwrite=False)
    with pytest.raises(RunError, match="File name too long"), delivered(long, overwrite=False):
        pass


# Killed, out of space, or beside another


def write(new: Path, text: str, *, folder: bool = False) -> None:
    """A file and the one beside it, or a folder that holds both."""
    if folder:
        new.mkdir()
    for path in (new / "x", new / "x.json") if folder else (new, new.with_name("x.json")):
        path.write_text(text)


def found(folder: Path) -> dict[str, str]:
    """The text of each file that does not belong to an unfinished export."""
    files = (path for path in folder.rglob("*") if path.is_file())
    shown = (path for path in files if not path.relative_to(folder).parts[0].startswith("."))
    return {path.relative_to(folder).as_posix(): path.read_text() for path in shown}


KILLED = """
import os, sys
from pathlib import Path
from kvgg_jax.export.output import delivered
left, move = int(sys.argv[1]), Path.replace

def replace(*arguments):
    global left
    left -= 1
    if left < 0:
        os._exit(9)
    return move(*arguments)

Path.replace = replace
with delivered(Path("x"), overwrite=True, mark=sys.argv[2] or None) as new:
    if sys.argv[2]:
        new.mkdir()
    for path in (new / "x", new / "x.json") if sys.argv[2] else (new, new.with_name("x.json")):
        path.write_text("new")
"""


@pytest.mark.parametrize("folder", [False, True])
def test_killed_between_two_moves_it_leaves_nothing_mixed(tmp_path: Path, folder: bool) -> None:
    """All is old, or all is new, or there is no file that somebody could take for either."""
    outcomes = []
    for moves in range(5):
        place = tmp_path / str(moves)
        place.mkdir()
        write(place / "x", "old", folder=folder)
        done = subprocess.run(
            [sys.executable, "-c", KILLED, str(moves), "x.json" if folder else ""],
            cwd=place,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            check=False,
        )
        left = found(place)
        complete = set(left) >= ({"x/x", "x/x.json"} if folder else {"x", "x.json"})
        assert complete or not (place / "x").exists()
        assert not complete or len(set(left.values())) == 1
        outcomes.append((done.returncode, left.get("x/x" if folder else "x")))
    assert outcomes[0] == (9, "old")
    assert outcomes[-1] == (0, "new")
    assert (9, None) in outcomes


@pytest.mark.parametrize("folder", [False, True])
def test_a_failed_move_puts_back_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: bool
) -> None:
    """As when the disk has no room for another name."""
    write(tmp_path / "x", "old", folder=folder)
    before, move = found(tmp_path), Path.replace

    def replace(self: Path, target: Path) -> Path:
        if target == tmp_path / "x" and self.parent.parent == tmp_path:
            raise OSError(errno.ENOSPC, "No space left on device")
        return move(self, target)

    monkeypatch.setattr(Path, "replace", replace)
    mark = "x.json" if folder else None
    with (
        pytest.raises(RunError) as caught,
        delivered(tmp_path / "x", overwrite=True, mark=mark) as new,
    ):
        write(new, "new", folder=folder)
    assert str(caught.value) == (
        f"Cannot write {tmp_path / 'x'}: No space left on device. Choose another --output."
    )
    assert found(tmp_path) == before
    assert [path for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def export_twice(place: Path, *, overwrite: bool) -> None:
    """Begins slowly, and another export begins and ends in the meantime."""
    with delivered(place, overwrite=overwrite) as slow:
        write(slow, "slow")
        with delivered(place, overwrite=overwrite) as fast:
            write(fast, "fast")
            assert slow.parent != fast.parent


def test_of_two_exports_to_one_place_the_second_is_refused(tmp_path: Path) -> None:
    """Both found it free; without --overwrite neither may replace the other."""
    with pytest.raises(RunError) as caught:
        export_twice(tmp_path / "x", overwrite=False)
    assert str(caught.value) == (
        f"{tmp_path / 'x'} already exists. Choose another --output, or replace it with --overwrite."
    )
    assert found(tmp_path) == {"x": "fast", "x.json": "fast"}


def test_of_two_exports_with_overwrite_the_last_is_there_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each has a temporary folder of its own, and moves while no other does."""
    move, free = Path.replace, []

    def replace(self: Path, target: Path) -> Path:
        handle = os.open(tmp_path, os.O_RDONLY)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            free.append(target)
        except BlockingIOError:
            pass
        finally:
            os.close(handle)
        return move(self, target)

    monkeypatch.setattr(Path, "replace", replace)
    export_twice(tmp_path / "x", overwrite=True)
    assert found(tmp_path) == {"x": "slow", "x.json": "slow"}
    assert free == []
