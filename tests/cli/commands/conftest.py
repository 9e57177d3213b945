"""A folder with photos and a run, for the tests of the commands."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.commands import TINY, kvgg
from support.runs import draw_photos


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory, thin_network: None) -> Path:
    """A folder with `photos`, and the run that `kvgg train --json` made of them."""
    place = tmp_path_factory.mktemp("cli")
    draw_photos(place / "photos", per_class=6)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        arguments = ("--data", "photos", *TINY, "--epochs", "2", "--name", "first", "--json")
        result = kvgg("train", *arguments)
    assert result.exit_code == 0, result.output
    (place / "train.json").write_text(result.stdout)
    (place / "train.err").write_text(result.stderr)
    return place


@pytest.fixture
def at(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The work place as current folder."""
    monkeypatch.chdir(workplace)
    return workplace
