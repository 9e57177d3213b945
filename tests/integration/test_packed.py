"""Photos packed into shards, from `data pack` to `report`, as a user has them."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.commands import TINY, kvgg
from support.runs import draw_photos

pytestmark = pytest.mark.usefixtures("thin_network")


def test_packed_photos_are_trained_on_and_verified(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the split that the folder would have."""
    monkeypatch.chdir(tmp_path)
    photos = draw_photos(tmp_path / "photos", per_class=4)
    packed = kvgg("data", "pack", "photos", "packed", "--size", "32")
    assert (packed.exit_code, packed.stdout) == (0, "Packed 12 photos into 1 shard in packed\n")
    splits = []
    for place in (photos, Path("packed")):
        words = ("--data", place, "--name", place.name, "--epochs", "1")
        result = kvgg("train", *TINY, *words)
        assert result.exit_code == 0, result.output
        splits.append(Path("runs", place.name, "split.csv").read_bytes())
    assert splits[0] == splits[1]
    for words in (
        ("evaluate", "--run", "packed", "--data", "packed"),
        ("report", "--run", "packed", "--output", "report.html"),
        ("data", "check", "packed", "--html", "check.html"),
    ):
        found = kvgg(*words)
        assert found.exit_code == 0, found.output
    assert "exist" not in Path("report.html").read_text()
    verified = kvgg("data", "verify", "packed")
    assert (verified.exit_code, verified.stdout) == (0, "12 photos in 1 shard: unchanged\n")
