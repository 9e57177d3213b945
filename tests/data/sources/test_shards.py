"""Packed photos as a source: read by key from any thread, and checked as they are read."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from kvgg_jax.core.errors import DataError, ImageError
from kvgg_jax.core.tables.data import DataConfig
from kvgg_jax.data.open_photos import open_photos, source_of
from kvgg_jax.data.shards import reading
from kvgg_jax.data.shards.pack import pack_data
from kvgg_jax.data.sources.folder import scan
from kvgg_jax.data.sources.shards import Shards, is_packed, scan_shards
from support.folders import image


@pytest.fixture
def packed(photos: Path, tmp_path: Path) -> Path:
    """36 photos in 9 shards."""
    return pack_data(photos, tmp_path / "out", shard_bytes=20_000).folder


def test_a_folder_of_shards_is_known_by_what_is_in_it(packed: Path, photos: Path) -> None:
    """`--data` takes it like any other."""
    config = DataConfig(dir=str(packed))
    assert (is_packed(packed), is_packed(photos)) == (True, False)
    assert source_of(config) == Shards(packed)
    assert open_photos(config) == scan_shards(packed)
    assert list(Shards(packed).list_keys()) == scan(photos).source.list_keys()
    (packed / "index" / "index.json").unlink()
    assert is_packed(packed)


def test_photos_are_read_in_any_order_by_many_threads(
    packed: Path, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With few files open."""
    monkeypatch.setattr(reading, "OPEN", 2)
    here, there = scan(photos), scan_shards(packed)
    before = len(os.listdir("/proc/self/fd"))
    rows = np.random.default_rng(0).permutation(np.tile(np.arange(36), 5)).tolist()
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(there.read, rows)) == [here.read(row) for row in rows]
    assert len(os.listdir("/proc/self/fd")) <= before + 2


def test_a_photo_with_other_bytes_is_an_error_that_names_its_shard(packed: Path) -> None:
    """Also where the shard has the right size."""
    source = Shards(packed)
    file, columns = packed / "shard-000001.tar", source.index.columns
    gone = source.index.keys[int(np.flatnonzero(columns["shard"] == 0)[0])]
    changed, other = np.flatnonzero(columns["shard"] == 1)[:2].tolist()
    content = bytearray(file.read_bytes())
    content[int(columns["offset"][changed])] ^= 1
    file.write_bytes(content)
    assert source.read(source.index.keys[other])
    told, bad = [], source.index.keys[changed]
    for key in (bad, "gone.png"):
        with pytest.raises(ImageError) as caught:
            source.read(key)
        told.append(str(caught.value))
    (packed / "shard-000000.tar").unlink()
    with pytest.raises(ImageError) as caught:
        Shards.read(source, gone)
    again = "Copy the shard again, or pack the photos again."
    assert [*told, str(caught.value)] == [
        f"{packed}/{bad}: cannot be read from shard-000001.tar (other bytes than were "
        f"packed). {again}",
        f"{packed}/gone.png: is not in the index of the shards.",
        f"{packed}/{gone}: cannot be read from shard-000000.tar (No such file or "
        f"directory). {again}",
    ]


def test_training_needs_photos_of_each_class(tmp_path: Path) -> None:
    """Evaluation does not."""
    image(tmp_path / "one" / "a" / "1.png")
    (tmp_path / "two" / "b").mkdir(parents=True)
    image(tmp_path / "two" / "a" / "1.png")
    told = []
    for name in ("one", "two"):
        pack_data(tmp_path / name, tmp_path / f"packed {name}")
        assert len(scan_shards(tmp_path / f"packed {name}", to_train=False)) == 1
        with pytest.raises(DataError) as caught:
            scan_shards(tmp_path / f"packed {name}")
        told.append(str(caught.value))
    assert told == [
        f"{tmp_path}/packed one has photos of 1 class ('a'); a classifier needs 2.",
        f"{tmp_path}/packed two has no photos of b. Pack others.",
    ]
