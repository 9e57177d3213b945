"""`kvgg audit` as typed."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from support.commands import kvgg, message
from support.runs import draw_photos

pytestmark = pytest.mark.usefixtures("thin_network", "blank")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Photos of three colors in the folder that is worked in, one of them in a wrong class."""
    monkeypatch.chdir(tmp_path)
    photos = draw_photos(tmp_path / "photos")
    (photos / "red" / "red_04.png").rename(photos / "blue" / "was_red.png")
    return photos


def backbone(finished: Path) -> tuple[str, ...]:
    """The settings of a small one."""
    return ("--arch", "vgg11", "--weights", str(finished), "--image-size", "32")


def test_the_photos_are_listed_and_written_as_moves(place: Path, finished: Path) -> None:
    """A table on stdout, a CSV file, a note on stderr."""
    result = kvgg(
        "audit", "photos", *backbone(finished), "--moves", "moves.csv", "--html", "a.html"
    )
    assert result.exit_code == 0, result.output
    assert result.stderr.endswith("Wrote a.html\nWrote moves.csv\n")
    assert "in blue, looks like red" in Path("a.html").read_text()
    for text in ("Labels that are probably wrong", "blue/was_red.png", "36 in 3 classes"):
        assert text in result.stdout
    with Path("moves.csv").open(newline="") as file:
        rows = [(row["path"], row["to"], row["suggested"]) for row in csv.DictReader(file)]
    assert rows == [("blue/was_red.png", "red/was_red.png", "red")]


def test_json_has_the_same(place: Path, finished: Path) -> None:
    """On stdout alone."""
    result = kvgg("audit", "photos", *backbone(finished), "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert [(one["path"], one["suggested"]) for one in found["issues"]] == [
        ("blue/was_red.png", "red")
    ]


def test_a_run_without_held_out_probabilities_says_how_to_get_them(finished: Path) -> None:
    """One message, exit code 1."""
    result = kvgg("audit", "--run", finished)
    assert (result.exit_code, message(result)) == (
        1,
        f"Error: {finished} holds out 2 of its 12 photos. An audit needs each photo held out "
        "once: cross-validate first (kvgg crossval --data DIR), or let a frozen backbone do it in "
        "minutes: kvgg audit DIR.\n",
    )


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("--yes",), "--yes needs --apply."),
        (("photos", "--apply", "x.csv"), "--apply cannot be combined with a folder."),
        (("--apply", "x.csv", "--seed", "1"), "--apply cannot be combined with --seed 1."),
        ((), "Give either a folder of photos, or a cross-validation: --run."),
        (
            ("photos", "--run", "cv"),
            "Give either a folder of photos, or a cross-validation: --run.",
        ),
        (
            ("--run", "cv", "--seed", "1"),
            "--run has its own settings; --seed 1 cannot change them.",
        ),
    ],
)
def test_what_does_not_go_together_is_a_usage_error(words: tuple[str, ...], text: str) -> None:
    """Before anything is read."""
    result = kvgg("audit", *words)
    assert (result.exit_code, message(result)) == (2, f"Error: {text}\n")


def test_a_file_of_moves_that_cannot_be_written_is_refused_first(place: Path) -> None:
    """Before the photos are read."""
    result = kvgg("audit", "photos", "--moves", "none/moves.csv")
    assert (result.exit_code, message(result)) == (
        1,
        "Error: Cannot write none/moves.csv: No such file or directory. Choose another --moves.\n",
    )


def test_moves_are_shown_made_and_undone(place: Path, finished: Path) -> None:
    """Each time with the next command."""
    kvgg("audit", "photos", *backbone(finished), "--moves", "moves.csv")
    here = Path.cwd()
    line = f"{here}/photos/blue/was_red.png -> {here}/photos/red/was_red.png\n"
    shown = kvgg("audit", "--apply", "moves.csv")
    assert (shown.exit_code, shown.stdout) == (
        0,
        f"{line}Would move 1 photo. To move them:\n  kvgg audit --apply moves.csv --yes\n",
    )
    assert (place / "blue" / "was_red.png").exists()
    made = kvgg("audit", "--apply", "moves.csv", "--yes")
    assert made.stdout == (
        f"{line}Moved 1 photo. To undo it:\n  kvgg audit --apply moves-undo.csv --yes\n"
    )
    assert (place / "red" / "was_red.png").exists()
    again = kvgg("audit", "--apply", "moves.csv", "--yes")
    assert again.stdout == "Nothing to move in moves.csv: all its moves have already been made\n"
    undone = kvgg("audit", "--apply", "moves-undo.csv", "--yes", "--json")
    assert [one["to"] for one in json.loads(undone.stdout)["moves"]] == ["blue/was_red.png"]
    assert (place / "blue" / "was_red.png").exists()


def test_a_file_without_a_move_says_so(place: Path) -> None:
    """As after all of its rows were removed."""
    Path("moves.csv").write_text("folder,path,to,class,suggested,score,sha256\n")
    result = kvgg("audit", "--apply", "moves.csv")
    assert (result.exit_code, result.stdout) == (
        0,
        "Nothing to move in moves.csv: it names no moves\n",
    )


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (
            ("--moves", "mine.csv"),
            "--moves mine.csv exists. Choose another name, or remove it.",
        ),
        (("--moves", "moves.txt"), "--moves moves.txt: the name ends in .csv."),
        (
            ("--moves", "a.csv", "--html", "./a.csv"),
            "--moves and --html are both a.csv.",
        ),
    ],
)
def test_a_file_of_moves_is_a_new_one(place: Path, words: tuple[str, ...], text: str) -> None:
    """Rows may have been removed from an older one. The photos are not read."""
    Path("mine.csv").write_text("reviewed")
    result = kvgg("audit", "photos", *words)
    assert (result.exit_code, message(result)) == (2, f"Error: {text}\n")
    assert Path("mine.csv").read_text() == "reviewed"


def test_changed_folders_are_refused(place: Path, finished: Path) -> None:
    """One message, exit code 1."""
    kvgg("audit", "photos", *backbone(finished), "--moves", "moves.csv")
    (place / "blue" / "was_red.png").unlink()
    result = kvgg("audit", "--apply", "moves.csv", "--yes")
    assert (result.exit_code, message(result)) == (
        1,
        f"Error: moves.csv, line 2: {Path.cwd()}/photos/blue/was_red.png is not there. Nothing "
        "was moved. Remove these rows, or audit the photos again.\n",
    )
