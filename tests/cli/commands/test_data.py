"""`kvgg data demo`."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.commands import kvgg

pytestmark = pytest.mark.usefixtures("thin_network")


def test_data_demo_writes_a_folder_to_train_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four classes of --per-class photos, and the next command to type."""
    monkeypatch.chdir(tmp_path)
    result = kvgg("data", "demo", "beans", "--per-class", "2")
    assert (result.exit_code, result.stdout, result.stderr) == (
        0,
        "",
        "Wrote the demo set to beans. Train on it:\n  kvgg train --data beans --image-size 48\n",
    )
    found = sorted(path.as_posix() for path in Path("beans").glob("*/*"))
    assert found == [
        f"beans/{name}/{name.lower()}_00{i}.png"
        for name in ("Dark", "Green", "Light", "Medium")
        for i in range(2)
    ]
