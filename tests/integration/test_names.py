"""Folders and classes whose names are bytes that are no text, from training to the report."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.commands import TINY, kvgg
from support.runs import draw_photos

pytestmark = pytest.mark.usefixtures("thin_network", "blank")
CLASS = os.fsdecode(b"gr\xfcn")


@pytest.fixture(scope="module")
def at(tmp_path_factory: pytest.TempPathFactory, thin_network: None) -> Iterator[Path]:
    """A run `x` on photos below such a folder; some are called wrongly, whatever it learnt."""
    here = tmp_path_factory.mktemp("names")
    photos = draw_photos(here / os.fsdecode(b"M\xfcller"))
    (photos / "green").rename(photos / CLASS)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(here)
        result = kvgg("train", *TINY, "--data", photos, "--name", "x")
        assert result.exit_code == 0, result.output
        for number, name in enumerate(("red", CLASS) * 3):
            other = photos / ("red" if name == CLASS else CLASS)
            file = next(photos.glob(f"{name}/*.png"))
            file.rename(other / os.fsdecode(b"\xff%d.png" % number))
        yield photos


def test_the_run_is_judged_and_reported(at: Path) -> None:
    """Its config is read again; a kept evaluation is too."""
    for command in ("evaluate", "report"):
        result = kvgg(command, "--run", "x", "--data", at, "--json")
        assert result.exit_code == 0, result.output
        told = json.loads(result.stdout)
    assert told["left_out"] == {}
    page = Path("runs/x/report.html").read_text(encoding="utf-8")
    assert "gr\\udcfcn" in page


def test_the_run_goes_on(at: Path) -> None:
    """As far as its photos are there."""
    result = kvgg("train", "--resume", "runs/x", "--epochs", "21")
    assert (result.exit_code, "removed" in result.stderr) == (1, True)


def test_it_is_served(at: Path) -> None:
    """In UTF-8, which JSON is."""
    served = pytest.importorskip("served", reason="needs the extra serve")
    network = served.network_of(Path("runs/x"))
    with served.serving(network) as client:
        model = client.get("/api/model")
        assert model.status_code == 200
        assert "gr\\udcfcn" in model.json()["classes"]
        photo = next(at.glob(f"{CLASS}/*.png"))
        form = served.files(("x.png", photo.read_bytes()))
        answer = client.post("/api/predict?top=3", files=form)
        assert answer.status_code == 200
