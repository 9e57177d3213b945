"""Rows of predictions, and a file of them that is continued after any end."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

import pytest

from kvgg_jax.cli.prediction_file import HEADER, opened, print_csv, rows
from kvgg_jax.core.errors import DataError, RunError, UsageError
from kvgg_jax.inference.prediction import Prediction

FOUND = (
    Prediction(Path("b.png"), (("red", 0.75), ("b,c", 0.25))),
    Prediction(Path("c.png"), error="c.png: is empty."),
)
FILES = [Path(f"{letter}.png") for letter in "abcd"]


def of(path: Path) -> Prediction:
    return Prediction(path, (("red", 0.75), ("blue", 0.25)))


def test_the_csv_has_a_row_per_class_and_one_per_error(capsys: pytest.CaptureFixture[str]) -> None:
    """With quotes where a name needs them."""
    print_csv(FOUND, header=True, top=2)
    assert capsys.readouterr().out == (
        "path,rank,class,probability,error,unknown\n"
        'b.png,1,red,0.750000,,\nb.png,2,"b,c",0.250000,,\nc.png,,,,c.png: is empty.,\n'
    )


def test_the_csv_says_what_is_unknown(capsys: pytest.CaptureFixture[str]) -> None:
    """Where the run measures it."""
    typical, not_typical = (
        Prediction(Path("a.png"), (("red", 1.0),), typicality=share, unknown_below=0.05)
        for share in (0.5, 0.01)
    )
    print_csv([typical, not_typical], header=False, top=1)
    assert capsys.readouterr().out == "a.png,1,red,1.000000,,false\na.png,1,red,1.000000,,true\n"


def test_no_spreadsheet_runs_a_name_of_the_csv_as_a_formula(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A photo or a class may be named by somebody else."""
    hostile = Prediction(Path("=cmd|' /C calc'!A0"), (("@SUM(1)", 1.0),))
    print_csv([hostile], header=True, top=1)
    assert capsys.readouterr().out.splitlines()[1] == "'=cmd|' /C calc'!A0,1,'@SUM(1),1.000000,,"


def text_of(suffix: str) -> str:
    """Of a file of all photos."""
    if suffix == ".jsonl":
        return "".join(json.dumps(of(path).to_json(top=2)) + "\n" for path in FILES)
    return HEADER + "".join(rows(of(path), top=2) for path in FILES)


WHOLE = HEADER + "".join(rows(of(path), top=2) for path in FILES)


@pytest.mark.parametrize("cut", range(len(WHOLE) + 1))
def test_a_file_that_was_cut_at_any_byte_is_continued_to_the_same_bytes(
    tmp_path: Path, cut: int
) -> None:
    """A photo that lacks a row is predicted again, and one that is alone, which may lack one."""
    file = tmp_path / "all.csv"
    file.write_text(WHOLE[:cut])
    with opened(file, FILES, top=2) as kept:
        for path in FILES[kept.after :]:
            kept.add(of(path))
    assert file.read_text() == WHOLE
    photos, more = divmod(max(WHOLE.count("\n", 0, cut) - 1, 0), 2)
    assert kept.there == (0 if (photos, more) == (1, 0) else photos)
    assert kept.after == max(kept.there - 1, 0)


@pytest.mark.parametrize("cut", range(0, len(text_of(".jsonl")) + 1, 7))
def test_json_lines_that_were_cut_are_continued_to_the_same_bytes(tmp_path: Path, cut: int) -> None:
    """A photo has one line, so those that end are whole."""
    file, whole = tmp_path / "all.jsonl", text_of(".jsonl")
    file.write_text(whole[:cut])
    with opened(file, FILES, top=2) as kept:
        for path in FILES[kept.after :]:
            kept.add(of(path))
    assert (file.read_text(), kept.there) == (whole, whole.count("\n", 0, cut))


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_rows_of_another_run_or_other_options_are_not_mixed(tmp_path: Path, suffix: str) -> None:
    """The last photo that is there is predicted once more, and must have the same rows."""
    file, whole = tmp_path / f"all{suffix}", text_of(suffix)
    file.write_text(whole)
    with pytest.raises(DataError) as caught, opened(file, FILES, top=1) as kept:
        kept.add(of(FILES[kept.after]))
    assert str(caught.value) == (
        f"{file} was begun with another run or other options: they give other rows for {FILES[3]}. "
        "Use the same ones, or choose another --output."
    )


def test_a_csv_that_ends_with_an_error_lacks_nothing(tmp_path: Path) -> None:
    """An error has one row; rows of errors do not tell how many a photo has."""
    files = [Path("c.png"), Path("a.png"), Path("c.png")]
    text = HEADER + "".join(rows(one, top=2) for one in (FOUND[1], of(files[1]), FOUND[1]))
    for end, there in ((len(text), 3), (text.index("a.png,2"), 1), (text.rindex("c.png,,"), 1)):
        (tmp_path / "all.csv").write_text(text[:end])
        with opened(tmp_path / "all.csv", files, top=2) as kept:
            assert kept.there == there


def test_the_errors_that_are_there_are_told_again(tmp_path: Path) -> None:
    """Whichever form the file has."""
    files = [Path("c.png"), *FILES]
    found = (FOUND[1], *map(of, FILES))
    for name in ("all.csv", "all.jsonl"):
        with opened(tmp_path / name, files, top=2) as kept:
            for one in found:
                kept.add(one)
        with opened(tmp_path / name, files, top=2) as again:
            assert again.errors == ["c.png: is empty."]


def test_a_parquet_file_is_made_of_json_lines_that_are_continued(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are beside it until all photos are there; a row has the keys of a photo's JSON."""
    parquet = pytest.importorskip("pyarrow.parquet", reason="the extra parquet")
    monkeypatch.setattr("kvgg_jax.cli.prediction_file.GROUP", 2)
    file, lines = tmp_path / "all.parquet", tmp_path / "all.parquet.jsonl"
    bad = Prediction(Path("e\udcff.png"), error="e.png: is empty.")
    with suppress(KeyboardInterrupt), opened(file, [*FILES, bad.path], top=2) as kept:
        kept.add(of(FILES[0]))
        raise KeyboardInterrupt
    assert (file.exists(), len(lines.read_text().splitlines())) == (False, 1)
    with opened(file, [*FILES, bad.path], top=2) as kept:
        assert kept.there == 1
        for path in FILES[kept.after :]:
            kept.add(of(path))
        kept.add(bad)
    assert [path.name for path in tmp_path.iterdir()] == ["all.parquet"]
    table = parquet.ParquetFile(file)
    assert table.num_row_groups == 3
    *rows, last = table.read().to_pylist()
    (first, *_), columns = rows, table.schema_arrow.names
    assert columns == [
        *("path", "class", "probability", "calibrated", "unsure"),
        *("unknown", "typicality", "top", "error"),
    ]
    known = of(FILES[0]).to_json(top=2)
    assert first == {**{name: known.get(name) for name in columns}, "error": None}
    assert [row["path"] for row in rows] == [str(path) for path in FILES]
    assert (last["path"], last["class"], last["error"]) == ("e\\udcff.png", None, bad.error)


def test_a_parquet_file_that_is_there_is_left_as_it_is(tmp_path: Path) -> None:
    """It is whole: there is nothing to continue."""
    pytest.importorskip("pyarrow", reason="the extra parquet")
    file = tmp_path / "all.parquet"
    file.touch()
    with pytest.raises(UsageError) as caught, opened(file, FILES, top=1):
        pass
    assert str(caught.value) == f"--output {file} exists. Choose another name, or remove it."


@pytest.mark.parametrize("text", ["[]\n", "no JSON\n", text_of(".jsonl").replace("a.png", "x.png")])
def test_json_lines_of_something_else_are_left_as_they_are(tmp_path: Path, text: str) -> None:
    file = tmp_path / "all.jsonl"
    file.write_text(text)
    with pytest.raises(DataError, match="has no predictions of these photos"):
        opened(file, FILES, top=2).__enter__()
    assert file.read_text() == text


@pytest.mark.parametrize(
    "text",
    ["path\n", HEADER + "x.png,1,red,0.5,\ny.png,1,red,0.5,\n", HEADER + "\x00\n\n"],
    ids=["another header", "other photos", "no table"],
)
def test_a_file_of_something_else_is_left_as_it_is(tmp_path: Path, text: str) -> None:
    """Also one of other photos."""
    file = tmp_path / "all.csv"
    file.write_text(text)
    with pytest.raises(DataError) as caught, opened(file, FILES, top=2):
        pass
    assert str(caught.value) == (
        f"{file} is there and has no predictions of these photos, or has them in another order. "
        "Choose another --output, or remove it."
    )
    assert file.read_text() == text


def test_a_file_of_another_kind_or_in_no_folder_is_refused(tmp_path: Path) -> None:
    """One message."""
    with pytest.raises(UsageError) as caught, opened(Path("a.txt"), [], top=1):
        pass
    assert str(caught.value) == "--output a.txt: the name ends in .csv, .jsonl or .parquet."
    file = tmp_path / "none" / "a.csv"
    with pytest.raises(RunError) as refused, opened(file, [], top=1):
        pass
    assert str(refused.value) == f"Cannot write {file}: No such file or directory."
