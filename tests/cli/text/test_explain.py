"""`kvgg explain`: a PNG per image, and what it prints."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kvgg_jax import explain, predict
from support.commands import kvgg, message

pytestmark = pytest.mark.usefixtures("thin_network")


@pytest.fixture
def at(tmp_path: Path, finished: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with `runs/x` and two images of one name, as current folder."""
    shutil.copytree(finished, tmp_path / "runs" / "x")
    for name in ("blue", "red"):
        (tmp_path / name).mkdir()
        photo = finished.parents[1] / "photos" / name / f"{name}_00.png"
        shutil.copy(photo, tmp_path / name / "1.png")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_each_image_gets_a_png_in_the_run_folder(at: Path) -> None:
    """Numbered if two have the same name; a line for each has its file and explained class."""
    result = kvgg("explain", "red/1.png", "blue", "--class", "green")
    assert result.exit_code == 0, result.output
    files = ["runs/x/explained/1-grad-cam.png", "runs/x/explained/1-grad-cam-2.png"]
    expected = []
    for one, file in zip(predict(["red/1.png", "blue"], "x"), files, strict=True):
        green = dict(one.top)["green"]
        shown = f"{one.label} {one.probability:.1%}"
        if one.label != "green":
            shown = f"predicted {shown}; explained: green {green:.1%}"
        expected.append(f"{one.path}: {shown} -> {file}")
    assert result.stdout.splitlines() == expected
    for file in files:
        with Image.open(file) as image:
            assert image.format == "PNG"
    assert sorted(Path("runs/x/explained").iterdir()) == sorted(map(Path, files))


def test_explain_json_is_what_the_documents_promise(at: Path) -> None:
    """The figures of `explain`, what the sum of the map should be, and the file's name; a bad
    file has its error, and the exit code is 1."""
    Path("bad.png").write_text("no image")
    arguments = ("--method", "integrated-gradients", "--output", "maps", "--json")
    result = kvgg("explain", "red/1.png", "bad.png", *arguments)
    assert result.exit_code == 1
    good, bad = json.loads(result.stdout)
    one, _ = explain(["red/1.png", "bad.png"], "x", method="integrated-gradients")
    assert good == {
        "path": "red/1.png",
        "class": one.label,
        "probability": one.probability,
        "explained": {"class": one.label, "probability": one.probability},
        "method": "integrated-gradients",
        "file": "maps/1-integrated-gradients.png",
        "sum": float(np.sum(one.heat)),
        "expected_sum": one.expected_sum,
    }
    error = "bad.png: is text, not an image. Replace or remove it."
    assert bad == {"path": "bad.png", "error": error}
    assert result.stderr.splitlines()[-1] == f"Error: {error}"
    assert [path.name for path in Path("maps").iterdir()] == ["1-integrated-gradients.png"]


def test_a_folder_that_cannot_be_written_is_an_error_with_the_next_move(at: Path) -> None:
    """A file stands where the folder should be."""
    Path("maps").touch()
    result = kvgg("explain", "red/1.png", "--output", "maps")
    assert (result.exit_code, message(result).splitlines()[-1]) == (
        1,
        "Error: Cannot write to maps: File exists. Choose another folder with --output.",
    )


def test_similar_training_photos_stand_below_the_line(at: Path) -> None:
    """As `kvgg similar` prints them; `--json` has them too."""
    line, *shown = kvgg("explain", "red/1.png", "--similar", "2").stdout.splitlines()
    assert line.endswith(" -> runs/x/explained/1-grad-cam.png")
    assert shown == kvgg("similar", "red/1.png", "--count", "2").stdout.splitlines()[1:]
    (one,) = json.loads(kvgg("explain", "red/1.png", "--similar", "2", "--json").stdout)
    (other,) = json.loads(kvgg("similar", "red/1.png", "--count", "2", "--json").stdout)
    assert one["similar"] == other["similar"]
