"""`apply_moves`: all is checked first, nothing is overwritten, all can be undone."""

from __future__ import annotations

import hashlib
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from kvgg_jax import apply_moves
from kvgg_jax.core.errors import DataError
from kvgg_jax.evaluation.label_audit import apply as module
from kvgg_jax.evaluation.label_audit.moves import Move, moves_csv, read_moves

PATHS = ("red/red_01.png", "red/red_02.png", "green/green_03.png", "red/red_05.png")


class Killed(BaseException):
    """As SIGKILL: nothing of the program runs after it."""


def tree(folder: Path) -> dict[str, bytes]:
    """Path -> content of all files."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def move(photos: Path, path: str) -> Move:
    """Of a photo to blue."""
    label, _, name = path.partition("/")
    digest = hashlib.sha256((photos / path).read_bytes()).hexdigest()
    return Move(str(photos), path, f"blue/{name}", label, "blue", "0.9900", digest)


@pytest.fixture
def moves(photos: Path, tmp_path: Path) -> Path:
    """A file of four moves."""
    file = tmp_path / "moves.csv"
    file.write_text(moves_csv(move(photos, path) for path in PATHS))
    return file


def test_a_dry_run_moves_and_writes_nothing(photos: Path, moves: Path) -> None:
    """It is the default, and gives the moves."""
    before = tree(moves.parent)
    found = apply_moves(moves)
    assert (found.dry_run, found.done) == (True, 0)
    assert [one.path for one in found.moves] == [*PATHS]
    assert tree(moves.parent) == before


def test_photos_are_moved_and_moved_back(photos: Path, moves: Path) -> None:
    """By the second file, which is beside the first. Then the first can be applied again."""
    before = tree(photos)
    for _ in range(2):
        found = apply_moves(moves, dry_run=False)
        after = tree(photos)
        expected = {
            f"blue/{path.partition('/')[2]}" if path in PATHS else path: content
            for path, content in before.items()
        }
        assert after == expected
        assert found.undo == moves.with_name("moves-undo.csv")
        back = apply_moves(found.undo, dry_run=False)
        assert len(back.moves) == 4
        assert tree(photos) == before


def test_what_is_moved_already_is_left_alone(photos: Path, moves: Path) -> None:
    """A second call finds nothing to do, and writes nothing."""
    apply_moves(moves, dry_run=False)
    before = tree(moves.parent)
    again = apply_moves(moves, dry_run=False)
    assert (again.moves, again.done) == ((), 4)
    assert tree(moves.parent) == before


@pytest.mark.parametrize("call", range(8))
def test_a_kill_at_any_point_can_be_undone_or_continued(
    photos: Path, moves: Path, monkeypatch: pytest.MonkeyPatch, call: int
) -> None:
    """Each photo is at its old place, at its new one, or under both names."""
    before, calls = tree(photos), iter(range(100))

    def killed(function):
        def run(*args, **kwargs):
            if next(calls) == call:
                raise Killed
            return function(*args, **kwargs)

        return run

    with monkeypatch.context() as patch:
        patch.setattr(os, "link", killed(os.link))
        patch.setattr(Path, "unlink", killed(Path.unlink))
        with pytest.raises(Killed):
            apply_moves(moves, dry_run=False)
    left = photos.with_name("left")
    shutil.copytree(photos, left)
    undo = moves.with_name("moves-undo.csv")
    assert len(read_moves(undo)) == 4
    if call % 2:  # a photo has two names
        assert len(tree(photos)) == len(before) + 1
    if call < 4:
        apply_moves(undo, dry_run=False)
        assert tree(photos) == before
    else:
        apply_moves(moves, dry_run=False)
        assert len(tree(photos)) == len(before)
        assert all((photos / "blue" / path.partition("/")[2]).exists() for path in PATHS)
        apply_moves(undo, dry_run=False)
        assert tree(photos) == before


def test_a_disk_without_hard_links_renames(
    photos: Path, moves: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As that of a memory card."""

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    before = tree(photos)
    monkeypatch.setattr(os, "link", refuse)
    undo = apply_moves(moves, dry_run=False).undo
    assert (photos / "blue" / "red_01.png").exists()
    apply_moves(undo, dry_run=False)
    assert tree(photos) == before


def refused(file: Path) -> str:
    """The message, which is the same with and without a dry run; nothing is moved or written."""
    before, found = tree(file.parent), []
    for dry_run in (True, False):
        with pytest.raises(DataError) as caught:
            apply_moves(file, dry_run=dry_run)
        found.append(str(caught.value))
    assert found[0] == found[1]
    assert tree(file.parent) == before
    return found[0]


END = "Nothing was moved. Remove these rows, or audit the photos again."


def test_folders_that_have_changed_are_refused_in_one_message(photos: Path, moves: Path) -> None:
    """The first three lines, and how many more."""
    (photos / PATHS[0]).write_bytes(b"changed")
    (photos / PATHS[1]).unlink()
    shutil.copy(photos / "red" / "red_07.png", photos / "blue" / "green_03.png")
    assert refused(moves) == (
        f"{moves}, line 2: {photos}/red/red_01.png has changed since the audit; line 3: "
        f"{photos}/red/red_02.png is not there; line 4: {photos}/blue/green_03.png is there "
        f"already. {END}"
    )
    (photos / PATHS[3]).unlink()
    assert refused(moves).endswith(f"is there already; and 1 more line. {END}")


def test_a_class_that_has_no_folder_any_more_is_named(photos: Path, moves: Path) -> None:
    """It is not made: its name may be a typing error."""
    shutil.rmtree(photos / "blue")
    rows = [one for _, one in read_moves(moves)][:1]
    moves.write_text(moves_csv(rows))
    assert refused(moves) == f"{moves}, line 2: there is no folder {photos}/blue. {END}"


def test_two_moves_of_one_photo_or_to_one_place_are_refused(photos: Path, moves: Path) -> None:
    """With both lines."""
    one = move(photos, PATHS[0])
    other = replace(move(photos, PATHS[2]), to="blue/red_01.png")
    moves.write_text(moves_csv([one, other]))
    expected = f"{moves}, line 3: {photos}/blue/red_01.png is in line 2 already. {END}"
    assert refused(moves) == expected


def test_a_file_that_undoes_other_moves_is_not_replaced(photos: Path, moves: Path) -> None:
    """It may be the only way back."""
    undo, rows = moves.with_name("moves-undo.csv"), [move(photos, path) for path in PATHS]
    moves.write_text(moves_csv(rows[:1]))
    apply_moves(moves, dry_run=False)
    moves.write_text(moves_csv(rows[1:]))
    assert refused(moves) == (
        f"{undo} is there, with other moves that are not undone. Nothing was moved. Keep it under "
        "another name, or remove it if those moves need not be undone any more."
    )
    undo.write_text("a shopping list")
    assert refused(moves).startswith(f"{undo} is there, with other moves")


def test_a_file_that_undoes_nothing_any_more_is_replaced(photos: Path, tmp_path: Path) -> None:
    """All of its moves are undone; then another audit has written other moves."""
    moves, undo, before = tmp_path / "u.csv", tmp_path / "u-undo.csv", tree(photos)
    for path in PATHS[:2]:
        moves.unlink(missing_ok=True)
        moves.write_text(moves_csv([move(photos, path)]))
        assert apply_moves(moves, dry_run=False).undo == undo
        assert [one.to for _, one in read_moves(undo)] == [path]
        apply_moves(undo, dry_run=False)
        assert tree(photos) == before
    assert sorted(file.name for file in tmp_path.glob("*.csv")) == ["u-undo.csv", "u.csv"]


def test_what_undoes_an_undo_is_the_first_file(photos: Path, moves: Path) -> None:
    """It stays as it is, with columns of the user's; a changed one is left alone too."""
    lines = moves.read_text().splitlines()
    moves.write_text("".join(f"{line},seen\n" for line in lines))
    written = moves.read_text()
    undo = apply_moves(moves, dry_run=False).undo
    assert apply_moves(undo, dry_run=False).undo == moves
    assert moves.read_text() == written
    apply_moves(moves, dry_run=False)
    moves.write_text(moves_csv(one for _, one in read_moves(moves)[:1]))
    written = moves.read_text()
    assert apply_moves(undo, dry_run=False).undo == moves.with_name("moves-undo-undo.csv")
    assert moves.read_text() == written


def test_a_move_into_a_sub_folder_makes_it(photos: Path, tmp_path: Path) -> None:
    """Within the folder of the class, which must be there."""
    (photos / "red" / "lot 7").mkdir()
    (photos / "red" / "red_01.png").rename(photos / "red" / "lot 7" / "red_01.png")
    (tmp_path / "moves.csv").write_text(moves_csv([move(photos, "red/lot 7/red_01.png")]))
    apply_moves(tmp_path / "moves.csv", dry_run=False)
    assert (photos / "blue" / "lot 7" / "red_01.png").exists()


def test_a_link_is_moved_as_a_link(photos: Path, tmp_path: Path) -> None:
    """The photo that it leads to stays where it is."""
    target = photos / "red" / "red_01.png"
    target.rename(tmp_path / "original.png")
    target.symlink_to("../../original.png")
    (tmp_path / "moves.csv").write_text(moves_csv([move(photos, "red/red_01.png")]))
    undo = apply_moves(tmp_path / "moves.csv", dry_run=False).undo
    assert (photos / "blue" / "red_01.png").readlink() == Path("../../original.png")
    assert not os.path.lexists(target)
    apply_moves(undo, dry_run=False)
    assert target.readlink() == Path("../../original.png")


def test_a_place_that_is_taken_after_the_check_is_not_overwritten(
    photos: Path, moves: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message says how to go on and how to go back."""
    check = module._check

    def check_and_take(*args):
        found = check(*args)
        (photos / "blue" / "red_02.png").write_bytes(b"another program's")
        return found

    monkeypatch.setattr(module, "_check", check_and_take)
    with pytest.raises(DataError) as caught:
        apply_moves(moves, dry_run=False)
    assert str(caught.value) == (
        f"Cannot move {photos}/red/red_02.png to {photos}/blue/red_02.png: it is there already. To "
        f"go on, apply {moves} again; to undo what was moved, apply "
        f"{moves.with_name('moves-undo.csv')}."
    )
    assert (photos / "blue" / "red_02.png").read_bytes() == b"another program's"
    assert (photos / "red" / "red_02.png").exists()


def test_json_has_the_moves_and_the_files(photos: Path, moves: Path) -> None:
    """`class` is the label, as in the file."""
    found = apply_moves(moves).to_json()
    assert {key: found[key] for key in ("file", "undo", "dry_run", "done")} == {
        "file": str(moves),
        "undo": str(moves.with_name("moves-undo.csv")),
        "dry_run": True,
        "done": 0,
    }
    assert list(found["moves"][0]) == [
        *("folder", "path", "to", "suggested", "score", "sha256", "class"),
    ]
