"""The CSV file of moves: what is written, and what is refused."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from kvgg_jax.core.errors import DataError
from kvgg_jax.data.samples import Samples
from kvgg_jax.data.sources.folder import scan
from kvgg_jax.data.sources.listing import scan_list
from kvgg_jax.evaluation.label_audit.findings import Audit, LabelIssue
from kvgg_jax.evaluation.label_audit.moves import Move, moves_csv, read_moves, write_moves

DIGEST = "0" * 64
MOVE = Move("/photos", "a/1.png", "b/1.png", "a", "b", "0.9000", DIGEST)


def issue(path: str, label: str, suggested: str) -> LabelIssue:
    return LabelIssue(path, label, suggested, score=0.9, probability=0.95, label_probability=0.05)


def audit_of(samples: Samples, *issues: LabelIssue) -> Audit:
    return Audit(samples.root, samples, "test", issues, (), None, (), ())


def test_a_move_names_the_file_its_new_place_and_its_digest(photos: Path, tmp_path: Path) -> None:
    """The path below the folder stays but for the class."""
    found = audit_of(scan(photos), issue("red/red_03.png", "red", "blue"))
    write_moves(found, tmp_path / "moves.csv")
    digest = hashlib.sha256((photos / "red" / "red_03.png").read_bytes()).hexdigest()
    assert (tmp_path / "moves.csv").read_text() == (
        '"folder","path","to","class","suggested","score","sha256"\n'
        f'"{photos}","red/red_03.png","blue/red_03.png","red","blue","0.9000","{digest}"\n'
    )
    assert read_moves(tmp_path / "moves.csv") == [
        (2, Move(str(photos), "red/red_03.png", "blue/red_03.png", "red", "blue", "0.9000", digest))
    ]


def test_a_name_that_is_taken_gets_the_old_class_added(photos: Path, tmp_path: Path) -> None:
    """By a photo, or by another move."""
    for folder in ("red", "green"):
        (photos / folder / f"{folder}_00.png").rename(photos / folder / "blue_03.png")
    (photos / "blue" / "blue_03-red.png").write_bytes(
        (photos / "blue" / "blue_03.png").read_bytes()
    )
    rows = [issue("red/blue_03.png", "red", "blue"), issue("green/blue_03.png", "green", "blue")]
    write_moves(audit_of(scan(photos), *rows), tmp_path / "moves.csv")
    assert [move.to for _, move in read_moves(tmp_path / "moves.csv")] == [
        "blue/blue_03-red2.png",
        "blue/blue_03-green.png",
    ]


def test_the_parts_of_a_split_are_kept(photos: Path, tmp_path: Path) -> None:
    """A photo of train/red goes to train/blue."""
    for part in ("train", "val"):
        for name in ("red", "blue"):
            (tmp_path / "split" / part).mkdir(parents=True, exist_ok=True)
            (photos / name).rename(tmp_path / "split" / part / name) if part == "train" else (
                tmp_path / "split" / part / name
            ).mkdir()
    (tmp_path / "split/train/red/red_01.png").rename(tmp_path / "split/val/red/red_01.png")
    found = audit_of(scan(tmp_path / "split"), issue("train/red/red_03.png", "red", "blue"))
    write_moves(found, tmp_path / "moves.csv")
    assert [move.to for _, move in read_moves(tmp_path / "moves.csv")] == ["train/blue/red_03.png"]


def test_of_a_list_there_is_a_row_that_cannot_be_applied(photos: Path, tmp_path: Path) -> None:
    """It names the photo and the class for whoever keeps the list."""
    (photos / "list.csv").write_text("path,label\nred/red_03.png,red\nblue/blue_03.png,blue\n")
    samples = scan_list(photos / "list.csv")
    write_moves(audit_of(samples, issue("red/red_03.png", "red", "blue")), tmp_path / "moves.csv")
    assert f'"{photos}","red/red_03.png","","red","blue"' in (tmp_path / "moves.csv").read_text()
    with pytest.raises(DataError) as caught:
        read_moves(tmp_path / "moves.csv")
    assert str(caught.value) == (
        f"{tmp_path}/moves.csv, line 2: no `to`: the photos came from a list or from shards. "
        "Change the labels there."
    )


def test_the_moves_back_are_the_inverse() -> None:
    """Twice the inverse is the move."""
    back = Move("/photos", "b/1.png", "a/1.png", "b", "a", "0.9000", DIGEST)
    assert (MOVE.inverse(), MOVE.inverse().inverse()) == (back, MOVE)
    assert (MOVE.source, MOVE.target) == (Path("/photos/a/1.png"), Path("/photos/b/1.png"))


def test_names_that_a_spreadsheet_would_run_come_back_as_they_were(tmp_path: Path) -> None:
    """And bytes that are no text, and line ends."""
    name = '=1+1\n\udce9,".png'
    move = Move("/p", f"a/{name}", f"=b/{name}", "a", "=b", "1.0000", DIGEST)
    file = tmp_path / "moves.csv"
    file.write_bytes(moves_csv([move]).encode(errors="surrogateescape"))
    assert [found for _, found in read_moves(file)] == [move]


@pytest.mark.parametrize("separator", [",", ";"])
@pytest.mark.parametrize("quote", ['"', ""])
def test_what_a_spreadsheet_has_saved_is_read(tmp_path: Path, separator: str, quote: str) -> None:
    """With a byte-order mark, its own line ends, and semicolons where the comma is in numbers."""
    file = tmp_path / "moves.csv"
    text = moves_csv([MOVE]).replace('"', quote).replace(",", separator).replace("\n", "\r\n")
    file.write_bytes(text.encode("utf-8-sig"))
    assert read_moves(file) == [(2, MOVE)]


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"path": "../a/1.png"}, "'../a/1.png' is not below the folder of photos"),
        ({"to": "/etc/b/1.png"}, "'/etc/b/1.png' is not below the folder of photos"),
        ({"folder": "photos"}, "photos is not a whole path"),
        *(
            (change, f"`to` must be the path with the folder {suggested} in place of a")
            for change, suggested in (
                ({"suggested": "c"}, "c"),
                ({"to": "b/sub/1.png"}, "b"),
                ({"to": "a/1.png"}, "b"),
                ({"path": "x/1.png"}, "b"),
            )
        ),
    ],
)
def test_a_row_that_is_no_move_between_two_classes_is_refused(
    tmp_path: Path, changes: dict[str, str], fault: str
) -> None:
    """The message names the line."""
    from dataclasses import replace

    file = tmp_path / "moves.csv"
    file.write_text(moves_csv([MOVE, replace(MOVE, **changes)]))
    with pytest.raises(DataError) as caught:
        read_moves(file)
    assert str(caught.value) == f"{file}, line 3: {fault}."


COLUMNS = "folder,path,to,class,suggested,score,sha256"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "path,label\na,b\n",
            f"FILE is no file of moves. Expected the columns {COLUMNS}, as kvgg audit --moves "
            "writes them.",
        ),
        (
            f"{COLUMNS}\na,b\n",
            f"FILE, line 2: has another number of cells. Expected the columns {COLUMNS}, as kvgg "
            "audit --moves writes them.",
        ),
        (
            "",
            f"FILE is no file of moves. Expected the columns {COLUMNS}, as kvgg audit --moves "
            "writes them.",
        ),
    ],
)
def test_another_file_is_refused(tmp_path: Path, text: str, message: str) -> None:
    """With the columns that are expected."""
    file = tmp_path / "moves.csv"
    file.write_text(text)
    with pytest.raises(DataError) as caught:
        read_moves(file)
    assert str(caught.value) == message.replace("FILE", str(file))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    """With the reason."""
    with pytest.raises(DataError) as caught:
        read_moves(tmp_path / "none.csv")
    assert str(caught.value) == f"Cannot read {tmp_path}/none.csv: No such file or directory."
