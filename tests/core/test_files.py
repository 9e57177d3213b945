"""Files of a run: what lies in their place is named, and never waited for."""

from __future__ import annotations

import csv
import io
import multiprocessing
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from multiprocessing.queues import Queue
from pathlib import Path

import pytest

from kvgg_jax.core.files import ROWS, csv_texts, open_lines, read_text, sweep, write_text
from support.commands import kvgg, message
from support.runs import PATIENCE

pytestmark = pytest.mark.usefixtures("thin_network", "blank")

PLANTED: dict[str, Callable[[Path], object]] = {
    "a pipe": os.mkfifo,
    "a device": lambda path: path.symlink_to("/dev/zero"),
    "a folder": os.mkdir,
}


@pytest.fixture(autouse=True)
def alarm() -> Iterator[None]:
    """Whoever waits for the other end of a pipe is woken up, by an end of the tests."""
    signal.alarm(PATIENCE)
    yield
    signal.alarm(0)


@pytest.fixture
def run(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """`runs/x`: a finished run, below the current folder."""
    shutil.copytree(finished, tmp_path / "runs" / "x")
    monkeypatch.chdir(tmp_path)
    return Path("runs/x")


@pytest.mark.parametrize("plant", PLANTED.values(), ids=PLANTED)
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("config.toml", "evaluate --run x"),
        ("run.json", "evaluate"),
        ("classes.json", "evaluate"),
        ("split.csv", "evaluate"),
        ("history.csv", "train --resume x --epochs 2"),
        ("digests.csv", "train --resume x --epochs 2"),
    ],
)
def test_what_is_no_file_in_the_place_of_one_is_named(
    run: Path, name: str, words: str, plant: Callable[[Path], object]
) -> None:
    """In a run folder that somebody else made."""
    (run / name).unlink()
    plant(run / name)
    result = kvgg(*words.split())
    assert (result.exit_code, message(result).splitlines()[-1]) == (
        1,
        f"Error: runs/x has no readable {name}: Not a regular file.",
    )


@pytest.mark.parametrize("plant", ["a pipe", "a device"])
@pytest.mark.parametrize("name", ["SHA256SUMS", "state/manifest.ocdbt"])
def test_what_is_no_file_in_a_checkpoint_is_named(run: Path, name: str, plant: str) -> None:
    """Before Orbax opens anything."""
    (step,) = (run / "checkpoints" / "best").iterdir()
    (step / name).unlink()
    PLANTED[plant](step / name)
    result = kvgg("predict", "x.png")
    assert (result.exit_code, message(result)) == (
        1,
        f"Error: No checkpoint in {run.absolute()}/checkpoints/best is intact:\n"
        f"  {step.name}: {name} cannot be read: Not a regular file\n"
        "Restore a copy of one, or train again.\n",
    )


def test_a_text_is_replaced_in_one_move_and_comes_back_as_it_was(tmp_path: Path) -> None:
    """Line ends and bytes that are no UTF-8 too; no temporary file stays."""
    file = tmp_path / "x"
    for text in ("old", "line\r\nend\r \udcff\n"):
        write_text(file, text)
        assert read_text(file) == text
    assert list(tmp_path.iterdir()) == [file]


def test_a_text_may_come_in_parts_and_be_read_by_lines(tmp_path: Path) -> None:
    """Each with its own end; bytes that are no text stay as they are."""
    parts = ["a\nb\r\n", "c\r\udcff", "\nlast"]
    write_text(tmp_path / "file", iter(parts))
    assert read_text(tmp_path / "file") == "".join(parts)
    with open_lines(tmp_path / "file") as lines:
        assert list(lines) == ["a\n", "b\r\n", "c\r\udcff\n", "last"]


def test_a_text_whose_parts_fail_replaces_nothing(tmp_path: Path) -> None:
    """And leaves nothing beside it."""

    def parts() -> Iterator[str]:
        yield "new"
        raise KeyError

    write_text(tmp_path / "file", "old")
    with pytest.raises(KeyError):
        write_text(tmp_path / "file", parts())
    assert read_text(tmp_path / "file") == "old"
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.parametrize("count", [0, ROWS, ROWS + 1])
def test_a_table_is_made_some_rows_at_a_time(count: int) -> None:
    """As the writer of Python makes it at once."""
    rows, whole = [(row, "a, b") for row in range(count)], io.StringIO()
    csv.writer(whole, lineterminator="\n").writerows(rows)
    texts = list(csv_texts(rows, csv.QUOTE_MINIMAL))
    assert ("".join(texts), len(texts)) == (whole.getvalue(), -(-count // ROWS))


@pytest.mark.parametrize("plant", [*PLANTED, "a link to a file"])
def test_a_temporary_name_that_is_taken_is_an_error_and_leads_nowhere(
    tmp_path: Path, plant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A link planted there must not have somebody's file overwritten."""
    precious = tmp_path / "precious"
    precious.write_text("mine")
    link = {"a link to a file": lambda path: path.symlink_to(precious)}
    monkeypatch.setattr("kvgg_jax.core.files.secrets.token_hex", lambda _: "01234567")
    (PLANTED | link)[plant](tmp_path / ".kvgg-01234567.tmp")
    with pytest.raises(FileExistsError):
        write_text(tmp_path / "x", "new")
    assert precious.read_text() == "mine"
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("make", [Path.mkdir, Path.touch])
def test_what_a_killed_process_left_is_swept_after_a_day(
    tmp_path: Path, make: Callable[[Path], None]
) -> None:
    """Folders and files of that name alone; a younger one may be in use."""
    for name in (".a.old", ".a.new", "kept", ".b.old"):
        make(tmp_path / name)
    for name in (".a.old", "kept", ".b.old"):
        os.utime(tmp_path / name, (0, 0))
    sweep(tmp_path, ".a.*")
    assert sorted(path.name for path in tmp_path.iterdir()) == [".a.new", ".b.old", "kept"]


def test_a_write_clears_up_after_a_writer_that_was_killed(tmp_path: Path) -> None:
    """Its temporary file is known by its name, and by its age as no longer in use."""
    for name in (".kvgg-01234567.tmp", ".kvgg-89abcdef.tmp"):
        (tmp_path / name).write_text("half")
    os.utime(tmp_path / ".kvgg-01234567.tmp", (0, 0))
    write_text(tmp_path / "x", "new")
    assert sorted(path.name for path in tmp_path.iterdir()) == [".kvgg-89abcdef.tmp", "x"]


def test_two_writers_of_one_file_never_meet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One writes in the middle of the other's write: both succeed, and the last to end counts."""
    file, real = tmp_path / "x", os.fsync

    def fsync(handle: int) -> None:
        monkeypatch.setattr("kvgg_jax.core.files.os.fsync", real)
        write_text(file, "second")
        assert read_text(file) == "second"
        real(handle)

    monkeypatch.setattr("kvgg_jax.core.files.os.fsync", fsync)
    write_text(file, "first")
    assert read_text(file) == "first"
    assert list(tmp_path.iterdir()) == [file]


def write_many(file: Path, letter: str, failed: Queue[int]) -> None:
    """400 times; how many of them failed."""
    count = 0
    for _ in range(400):
        try:
            write_text(file, letter * 20_000)
        except OSError:
            count += 1
    failed.put(count)


@pytest.mark.faults
def test_many_writes_of_two_processes_fail_and_tear_nowhere(tmp_path: Path) -> None:
    """A third one reads all the while."""
    context = multiprocessing.get_context("spawn")
    file, failed, seen = tmp_path / "x", context.Queue(), set[str]()
    write_text(file, "a" * 20_000)
    writers = [context.Process(target=write_many, args=(file, one, failed)) for one in "ab"]
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        seen.add(read_text(file))
    assert [failed.get(), failed.get()] == [0, 0]
    assert seen <= {"a" * 20_000, "b" * 20_000}
    assert list(tmp_path.iterdir()) == [file]
