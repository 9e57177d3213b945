"""`kvgg lr-find` as typed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from commands import TINY, kvgg
from conftest import draw_photos

pytestmark = pytest.mark.usefixtures("thin_network")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with `photos`, as current folder."""
    draw_photos(tmp_path / "photos", per_class=6)
    monkeypatch.chdir(tmp_path)
    return tmp_path


LR_FIND = ("lr-find", "--data", "photos", *TINY, "--steps", "10", "--high", "0.01")


def test_lr_find_json_is_what_the_documents_promise(here: Path) -> None:
    """Beside it a picture, and no run."""
    result = kvgg(*LR_FIND, "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert list(found) == [
        "suggested", "lowest", "reason", "picture", "rates", "losses", "smoothed",
    ]  # fmt: skip
    at = found["rates"].index(found["lowest"]["rate"])
    assert found["lowest"]["loss"] == min(found["smoothed"]) == found["smoothed"][at]
    assert found["suggested"] == pytest.approx(found["lowest"]["rate"] / 10)
    assert found["picture"] == "runs/lr_find.png"
    assert [path.name for path in Path("runs").iterdir()] == ["lr_find.png"]
    assert Path("runs/lr_find.png").read_bytes().startswith(b"\x89PNG")
