"""`kvgg data demo`, `pack` and `verify`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kvgg_jax.data.shards.index import read_index
from support.commands import TINY, kvgg, message
from support.runs import draw_photos

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


def test_a_changed_photo_is_named_with_exit_code_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As JSON too."""
    monkeypatch.chdir(tmp_path)
    draw_photos(tmp_path / "photos", per_class=4)
    packed = kvgg("data", "pack", "photos", "packed", "--json")
    shard = Path("packed/shard-000000.tar")
    assert json.loads(packed.stdout) == {
        "folder": "packed",
        "photos": 12,
        "shards": 1,
        "bytes": shard.stat().st_size,
        "left_out": 0,
    }
    content = bytearray(shard.read_bytes())
    content[600] ^= 1  # in the first photo of the shard
    index = read_index(Path("packed"))
    first = index.keys[int(index.columns["offset"].argmin())]
    shard.write_bytes(content)
    verified = kvgg("data", "verify", "packed")
    assert (verified.exit_code, verified.stdout) == (
        1,
        f"shard-000000.tar: {first} changed since it was packed\n12 photos in 1 shard: 1 changed\n",
    )
    found = kvgg("data", "verify", "packed", "--json")
    assert (found.exit_code, json.loads(found.stdout)) == (
        1,
        {
            "folder": "packed",
            "photos": 12,
            "shards": 1,
            "changes": [{"shard": "shard-000000.tar", "photo": first}],
        },
    )
    shard.write_bytes(content[:600])
    cut = kvgg("train", *TINY, "--data", "packed")
    assert (cut.exit_code, message(cut)) == (
        1,
        f"Error: {tmp_path}/packed/shard-000000.tar is missing or damaged (600 bytes, packed were "
        f"{len(content):,}). Copy it again, or pack the photos again.\n",
    )
    assert list(Path("runs").rglob("*.csv")) == []
