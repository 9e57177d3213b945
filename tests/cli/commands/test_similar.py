"""`kvgg similar` and `kvgg embed`."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from support.commands import kvgg, message
from support.runs import Trained

pytestmark = pytest.mark.usefixtures("thin_network")


def test_similar_photos_come_below_the_prediction(trained: Trained, tmp_path: Path) -> None:
    photo, run = next(trained.photos.glob("*/*")), shutil.copytree(trained.run, tmp_path / "x")
    shown = kvgg("similar", photo, "--run", run, "--count", "2")
    head, first, second = shown.stdout.splitlines()
    assert head.startswith(f"{photo}: ")
    assert [line.split()[1] in {"blue", "green", "red"} for line in (first, second)] == [True] * 2
    (found,) = json.loads(kvgg("similar", photo, "--run", run, "--json").stdout)
    assert [
        f"  {one['similarity']:+.3f}  {one['class']}  {one['path']}" for one in found["similar"][:2]
    ] == [first, second]
    assert len(found["similar"]) == 5


def test_vectors_are_written_and_bad_files_named(trained: Trained, tmp_path: Path) -> None:
    """The exit code is 1, as for `predict`; the good photos are in the file."""
    good = sorted(trained.photos.glob("*/*"))[:2]
    bad, file = tmp_path / "bad.png", tmp_path / "vectors.npz"
    bad.write_text("no image")
    result = kvgg("embed", bad, *good, "--run", trained.run, "--output", file)
    assert (result.exit_code, result.stdout) == (1, f"2 vectors of 64 values: {file}\n")
    last = message(result).splitlines()[-1]
    assert last == f"Error: {bad}: is text, not an image. Replace or remove it."
    with np.load(file) as kept:
        assert kept["vectors"].shape == (2, 64)
        assert kept["paths"].tolist() == [str(one) for one in good]
    again = kvgg("embed", *good, "--run", trained.run, "--output", file)
    assert (again.exit_code, message(again).strip()) == (
        2,
        f"Error: --output {file} exists. Choose another name, or remove it.",
    )
    file.unlink()
    again = kvgg("embed", *good, "--run", trained.run, "--output", file, "--json")
    assert json.loads(again.stdout) == {"file": str(file), "photos": 2, "width": 64}


def test_another_kind_of_file_is_refused_at_once(tmp_path: Path) -> None:
    result = kvgg("embed", "x.png", "--output", tmp_path / "vectors.csv")
    assert (result.exit_code, message(result).strip()) == (
        2,
        f"Error: --output {tmp_path / 'vectors.csv'}: the name ends in .npz or .parquet.",
    )
