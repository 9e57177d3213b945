"""`kvgg predict`: what it prints; and that it and `kvgg explain` load no heavy library."""

from __future__ import annotations

import csv
import io
import json
import shutil
from pathlib import Path

import pytest

from kvgg_jax import rank_unsure
from support.commands import THIN_PROGRAM, kvgg, message, python

pytestmark = pytest.mark.usefixtures("thin_network")


def test_predict_json_is_what_the_documents_promise(at: Path) -> None:
    """One object per file, in the order given; --top is the number of classes."""
    files = ["photos/red/red_01.png", "photos/blue/blue_00.png"]
    result = kvgg("predict", *files, "--json", "--top", "2")
    assert result.exit_code == 0, result.output
    printed = json.loads(result.stdout)
    assert [one["path"] for one in printed] == files
    for one in printed:
        assert list(one) == [
            *("path", "class", "probability", "calibrated", "unsure", "unsure_below"),
            *("unknown", "unknown_below", "typicality", "top"),
        ]
        assert (one["calibrated"], one["unsure"], one["unsure_below"]) == (False, False, None)
        assert [list(entry) for entry in one["top"]] == [["class", "probability"]] * 2
        assert one["top"][0] == {"class": one["class"], "probability": one["probability"]}
        assert one["top"][0]["probability"] >= one["top"][1]["probability"]


def test_a_bad_file_is_reported_and_the_rest_is_answered(at: Path, tmp_path: Path) -> None:
    """On stderr and by the exit code; stdout stays pure."""
    good, bad = "photos/red/red_01.png", tmp_path / "bad.jpg"
    bad.write_text("no image")
    error = f"{bad}: is text, not an image. Replace or remove it."
    result = kvgg("predict", good, bad, "--json")
    assert result.exit_code == 1
    assert result.stderr.splitlines()[-1] == f"Error: {error}"
    first, second = json.loads(result.stdout)
    assert (first["path"], second) == (good, {"path": str(bad), "error": error})
    plain = kvgg("predict", bad, good)
    assert plain.stdout == f"{good}: {first['class']} {first['probability']:.1%}\n"
    assert (plain.exit_code, plain.stderr.splitlines()[-1]) == (1, f"Error: {error}")


def test_predict_csv_has_a_row_per_class(at: Path, tmp_path: Path) -> None:
    """path, rank, class, probability; a bad file has one row, of its path and its error."""
    photo = tmp_path / 'a, "b".png'
    shutil.copy("photos/red/red_01.png", photo)
    bad = tmp_path / "bad.jpg"
    bad.touch()
    (expected,) = json.loads(kvgg("predict", photo, "--json", "--top", "3").stdout)
    result = kvgg("predict", bad, photo, "--csv", "--top", "3")
    assert result.exit_code == 1
    assert list(csv.reader(io.StringIO(result.stdout))) == [
        ["path", "rank", "class", "probability", "error", "unknown"],
        [str(bad), "", "", "", f"{bad}: is empty (0 bytes). Replace or remove it.", ""],
        *(
            [str(photo), str(rank), one["class"], f"{one['probability']:.6f}", "", "false"]
            for rank, one in enumerate(expected["top"], 1)
        ),
    ]


def test_parts_joined_are_the_whole_byte_for_byte(at: Path) -> None:
    """In files or on stdout; a part that was cut is continued."""
    whole = kvgg("predict", "photos", "--csv", "--top", "2").stdout
    for part in ("1/3", "2/3", "3/3"):
        words = ("predict", "photos", "--top", "2", "--part", part)
        file = Path(f"{part[0]}.csv")
        assert kvgg(*words, "--output", file).exit_code == 0
        assert kvgg(*words, "--csv").stdout == file.read_text()
    cut = Path("2.csv").read_text()
    Path("2.csv").write_text(cut[: len(cut) // 2])
    result = kvgg("predict", "photos", "--top", "2", "--part", "2/3", "--output", "2.csv")
    assert "photos to 2.csv" in result.stdout
    assert "".join(Path(f"{number}.csv").read_text() for number in (1, 2, 3)) == whole


def test_predict_shows_a_line_per_image(at: Path) -> None:
    """A folder gives a line per image, unbroken whatever the length of its path."""
    deep = at / ("long-name-" * 9)
    shutil.copytree(at / "photos" / "red", deep, dirs_exist_ok=True)
    expected = json.loads(kvgg("predict", deep, "--json", "--top", "2").stdout)
    result = kvgg("predict", deep, "--top", "2")
    assert result.stdout.splitlines() == [
        f"{one['path']}: " + "  ".join(f"{e['class']} {e['probability']:.1%}" for e in one["top"])
        for one in expected
    ]
    assert len(expected) == 6


@pytest.mark.parametrize("command", ["predict", "explain"])
def test_predict_and_explain_import_neither_tensorflow_nor_keras(at: Path, command: str) -> None:
    """They would add seconds to each call."""
    look = "print(sorted({'tensorflow', 'keras'} & {*sys.modules}))"
    code = f"import atexit, sys; atexit.register(lambda: {look})\n"
    done = python("-c", code + THIN_PROGRAM, command, "photos/red/red_00.png", cwd=at)
    assert done.returncode == 0, done.stderr
    answer, imported = done.stdout.splitlines()
    assert answer.startswith("photos/red/red_00.png: ")
    assert imported == "[]"


def test_ranked_photos_come_in_one_order_in_every_form(at: Path) -> None:
    """That of `rank_unsure`; what needs all photos at once is not combined with parts of them."""
    photos = ["photos/red", "photos/blue"]
    expected = [str(one.path) for one in rank_unsure(photos, "first")]
    assert expected != sorted(expected)
    printed = json.loads(kvgg("predict", *photos, "--rank", "unsure", "--json").stdout)
    assert [one["path"] for one in printed] == expected
    rows = list(csv.reader(io.StringIO(kvgg("predict", *photos, "--rank=unsure", "--csv").stdout)))
    assert [row[0] for row in rows[1:]] == expected
    lines = kvgg("predict", *photos, "--rank", "unsure").stdout.splitlines()
    assert [line.split(": ")[0] for line in lines] == expected
    for also in (("--part", "1/2"), ("--output", "x.csv"), ("--tta",)):
        result = kvgg("predict", *photos, "--rank", "unsure", *also)
        text = "Error: --rank cannot be combined with --output, --part or --tta."
        assert (result.exit_code, message(result).strip()) == (2, text)
