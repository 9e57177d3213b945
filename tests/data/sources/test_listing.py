"""Lists of photos: what each column says, and one message for each thing that is wrong."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from kvgg_jax.core.errors import DataError, MissingExtra
from kvgg_jax.core.extras import EXTRAS
from kvgg_jax.data.sources.listing import EXPECTED, Listed, is_list, scan_list
from kvgg_jax.data.split import split_samples, split_to_csv
from support.folders import image


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Four photos in a folder without classes."""
    for name in ("1.png", "2.png", "in/3.png", "4.png"):
        image(tmp_path / name)
    return tmp_path


def listed(root: Path, text: str, name: str = "photos.csv") -> Path:
    (root / name).write_text(text)
    return root / name


def refused(file: Path, **given: object) -> str:
    with pytest.raises(DataError) as caught:
        scan_list(file, **given)  # type: ignore[arg-type]
    return str(caught.value)


def test_a_list_gives_each_photo_its_class(root: Path) -> None:
    """In the order of the list; classes are sorted; other columns have no say."""
    file = listed(root, "label,path,made\ncat,2.png,May\nant,in/3.png,June\ncat,1.png,\n")
    found = scan_list(file)
    assert (found.paths, found.labels) == (("2.png", "in/3.png", "1.png"), (1, 0, 1))
    assert (found.classes, found.source) == (("ant", "cat"), Listed(root, file))
    assert (found.parts, found.groups, found.weights) == (None, None, None)
    assert found.read(0) == (root / "2.png").read_bytes()


def test_a_list_may_say_part_group_and_weight(root: Path) -> None:
    """Parts by any of their usual names."""
    file = listed(
        root,
        "path,label,part,group,weight\n"
        "1.png,a,Train,lot 1,1\n2.png,b,training,lot 2,0.5\n4.png,b,validation,lot 1,2\n",
    )
    found = scan_list(file)
    assert found.parts == ("train", "train", "val")
    assert found.groups == ("lot 1", "lot 2", "lot 1")
    assert found.weights == (1.0, 0.5, 2.0)


def test_json_lines_say_the_same(root: Path) -> None:
    """Numbers may be labels."""
    rows = [{"path": "1.png", "label": 7}, {"path": "2.png", "label": 10}]
    file = listed(root, "\n".join(map(json.dumps, rows)), "photos.jsonl")
    assert scan_list(file).classes == ("10", "7")


@pytest.mark.extras
def test_parquet_says_the_same(root: Path) -> None:
    """Rows are numbered as lines are."""
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    table = pyarrow.table({"path": ["1.png", "2.png"], "label": ["a", "b"], "weight": [1.0, 3.0]})
    parquet.write_table(table, root / "photos.parquet")
    found = scan_list(root / "photos.parquet")
    assert (found.paths, found.weights) == (("1.png", "2.png"), (1.0, 3.0))
    (root / "2.png").unlink()
    assert "photos.parquet, line 2: 2.png is not a file" in refused(root / "photos.parquet")
    (root / "photos.parquet").write_text("no table")
    assert refused(root / "photos.parquet").startswith(
        f"{root}/photos.parquet cannot be read as Parquet ("
    )


def test_parquet_needs_its_extra(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message says how to add it."""
    monkeypatch.setitem(EXTRAS, "parquet", ("no-such-library",))
    file = listed(root, "", "photos.parquet")
    with pytest.raises(MissingExtra) as caught:
        scan_list(file)
    assert str(caught.value) == (
        f"{file} needs no-such-library, which is not installed. Add it: pip install "
        '"kvgg_jax[parquet]"'
    )


def test_paths_may_start_elsewhere(root: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """A list need not lie beside its photos, and absolute paths below that folder are fine."""
    file = listed(tmp_path_factory.mktemp("lists"), f"path,label\n1.png,a\n{root}/in/../2.png,b\n")
    assert scan_list(file, root).paths == ("1.png", "2.png")


def test_the_split_of_a_run_is_a_list(root: Path) -> None:
    """Its classes and parts come back, file for file."""
    file = listed(root, "path,label\n1.png,a\n2.png,b\nin/3.png,a\n4.png,b\n")
    split = split_samples(scan_list(file), val_split=0.5, seed=1, how="stratified")
    again = scan_list(listed(root, "".join(split_to_csv(split)), "split.csv"))
    for part, samples in split.parts():
        assert again.part(part).paths == samples.paths
        assert again.part(part).labels == samples.labels


def test_a_split_of_scikit_learn_is_reproduced_file_for_file(root: Path) -> None:
    """Written by the csv module, as its users do."""
    from sklearn.model_selection import train_test_split

    paths, labels = ["1.png", "2.png", "in/3.png", "4.png"], ["a", "b", "a", "b"]
    theirs = train_test_split(paths, labels, test_size=0.5, stratify=labels, random_state=0)
    with (root / "sk.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "label", "part"])
        writer.writerows((p, y, "train") for p, y in zip(theirs[0], theirs[2], strict=True))
        writer.writerows((p, y, "test") for p, y in zip(theirs[1], theirs[3], strict=True))
    found = scan_list(root / "sk.csv")
    assert list(found.part("train").paths) == theirs[0]
    assert list(found.part("test").paths) == theirs[1]


@pytest.mark.parametrize(
    ("rows", "fault"),
    [
        ("1.png,a\ngone.png,b", "line 3: gone.png is not a file. {start}"),
        ("1.png,a\n../x.png,b", "line 3: ../x.png is not below {root}. {start}"),
        ("1.png,a\n/etc/passwd,b", "line 3: /etc/passwd is not below {root}. {start}"),
        ("1.png,a\n,b", "line 3: has no path. {start}"),
        ("1.png,a\n./1.png,b", "line 3: ./1.png is in line 2 already. {start}"),
        (
            "1.png,Dark\n2.png,dark ",
            "line 3: the label 'dark ' differs from 'Dark' in line 2 in case or spaces. Each class "
            "needs one spelling.",
        ),
        ("1.png,a\n2.png,", "line 3: has no label. Each class needs one spelling."),
        (
            "w,a\nx,a\ny,b\nz,b\n1.png,a",
            "line 2: w is not a file; line 3: x is not a file; line 4: y is not a file; and 1 more "
            "lines. {start}",
        ),
    ],
)
def test_each_fault_of_a_row_is_named_with_its_line(root: Path, rows: str, fault: str) -> None:
    """And what to do about it."""
    file = listed(root, f"path,label\n{rows}\n")
    start = f"Paths start from {root}. To start elsewhere: `data.root = DIR`."
    assert refused(file) == f"{file}, {fault.format(start=start, root=root)}"


@pytest.mark.parametrize(
    ("column", "cells", "fault"),
    [
        ("part", "train,dev", "line 3: the part 'dev' is unknown. Write train, val or test."),
        ("part", "train,", "line 3: the part '' is unknown. Write train, val or test."),
        ("group", "1,", "line 3: has no group. Give each photo one, of its own if need be."),
        *(
            (
                "weight",
                f"1,{bad}",
                f"line 3: the weight '{bad}' is not a number above 0. 1 is the weight of a photo "
                "that counts once.",
            )
            for bad in ("0", "-1", "nan", "inf", "heavy", "")
        ),
    ],
)
def test_each_fault_of_another_column_too(root: Path, column: str, cells: str, fault: str) -> None:
    """What a cell may be is said."""
    first, second = cells.split(",")
    file = listed(root, f"path,label,{column}\n1.png,a,{first}\n2.png,b,{second}\n")
    assert refused(file) == f"{file}, {fault}"


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "{file} lists no photos. {expected}"),
        ("path,label\n", "{file} lists no photos. {expected}"),
        ("name;label\n1.png;a\n", "{file} has the columns name;label. {expected}"),
        ("path,label\n1.png,a\n2.png,a\n", "{file} has photos of 1 class ('a'); a classifier "
         "needs 2."),
        ("path,label\n1.png,a,x\n", "{file}, line 2: expected 2 cells, as in the first line."),
        ("path,label\n1.png\n", "{file}, line 2: expected 2 cells, as in the first line."),
        ("path,label,part\n1.png,a,val\n2.png,b,val\n", "{file} has no photos of the part train."),
    ],
)  # fmt: skip
def test_a_list_that_cannot_be_used_is_refused(root: Path, text: str, fault: str) -> None:
    """With what a list looks like."""
    file = listed(root, text)
    assert refused(file) == fault.format(file=file, expected=EXPECTED)


def test_other_files_are_refused_as_what_they_are(root: Path) -> None:
    """A missing file, a folder, and lines that are no objects."""
    assert refused(root / "no.csv") == f"Cannot read {root}/no.csv: No such file or directory."
    (root / "x.csv").mkdir()
    assert refused(root / "x.csv") == f"Cannot read {root}/x.csv: Is a directory."
    file = listed(root, '{"path": "1.png", "label": "a"}\n[1]\n', "x.jsonl")
    assert refused(file) == (
        f'{file}, line 2: expected an object, such as {{"path": "a.jpg", "label": "cat"}}.'
    )


def test_one_class_is_enough_to_evaluate(root: Path) -> None:
    """The run knows the others."""
    file = listed(root, "path,label\n1.png,a\n2.png,a\n")
    assert scan_list(file, to_train=False).classes == ("a",)


def test_names_that_are_not_utf_8_are_read_as_the_system_gives_them(root: Path) -> None:
    """As in `split.csv`."""
    image(root / "\udcff.png")
    (root / "x.csv").write_bytes(b"path,label\n\xff.png,a\n1.png,b\n")
    assert scan_list(root / "x.csv").paths == ("\udcff.png", "1.png")


def test_what_is_called_a_list() -> None:
    """By its suffix."""
    assert [is_list(name) for name in ("a.csv", "A.CSV", "b.jsonl", "c.parquet", "d", "e.txt")] == [
        True, True, True, True, False, False,
    ]  # fmt: skip


def test_listing_again_names_what_is_there_now(root: Path) -> None:
    """A resume asks it."""
    file = listed(root, "path,label\n1.png,a\n2.png,b\n")
    found = scan_list(file)
    file.write_text("path,label\n1.png,a\n")
    assert list(found.source.list_keys()) == ["1.png"]


def test_many_rows_are_cells_of_arrays_of_their_own(root: Path) -> None:
    """20,000 rows of one folder of links: a list is as long as it needs to be."""
    names = [f"{number}.png" for number in range(20_000)]
    for name in names[5:]:
        (root / name).hardlink_to(root / "1.png")
    rows = "".join(
        f"{name},{'ab'[number % 2]}\n" for number, name in enumerate(names) if number > 4
    )
    found = scan_list(listed(root, f"path,label\n{rows}"))
    assert len(found) == 19_995
    np.testing.assert_array_equal(np.array(found.labels[:4]), [1, 0, 1, 0])
