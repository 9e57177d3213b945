"""The index beside the shards: what it finds, and one message for each thing that is wrong."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from kvgg_jax.core.errors import DataError
from kvgg_jax.core.places import Place, Url
from kvgg_jax.data.shards import index
from kvgg_jax.data.shards.index import read_index
from kvgg_jax.data.shards.pack import pack_data
from support.elsewhere import Faulty, faulty, upload

AGAIN = "Copy it again, or pack the photos again."


@pytest.fixture
def packed(photos: Path, tmp_path: Path) -> Path:
    """36 photos in 9 shards."""
    return pack_data(photos, tmp_path / "out", shard_bytes=20_000).folder


def refused(folder: Place) -> str:
    with pytest.raises(DataError) as caught:
        read_index(folder)
    return str(caught.value)


def test_a_photo_is_found_by_its_key(packed: Path) -> None:
    """Without a table of all keys in memory."""
    found = read_index(packed)
    assert [found.find(key) for key in found.keys] == list(range(36))
    assert found.find("blue/other.png") is None
    assert all(isinstance(column.base, np.memmap) for column in found.columns.values())
    kinds = {name: column.dtype for name, column in found.columns.items()}
    assert [kinds[name] for name in ("shard", "length", "offset", "hash_row")] == [
        *(np.uint8, np.uint16, np.uint16, np.uint8)
    ]


def test_photos_with_one_hash_are_told_apart(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By their keys."""
    monkeypatch.setattr(index, "_hash", lambda key: np.uint64(len(key)))
    found = read_index(pack_data(photos, tmp_path / "out").folder)
    assert [found.find(key) for key in found.keys] == list(range(36))
    assert found.find("blue/blue_99.png") is None


def test_a_shard_that_is_not_whole_is_named(packed: Path) -> None:
    """Missing, or cut short."""
    file = packed / "shard-000002.tar"
    size = file.stat().st_size
    file.write_bytes(file.read_bytes()[:1000])
    assert refused(packed) == (
        f"{file} is missing or damaged (1,000 bytes, packed were {size:,}). {AGAIN}"
    )
    file.unlink()
    assert refused(packed) == f"{file} is missing or damaged (No such file or directory). {AGAIN}"


def test_shards_of_other_photos_are_not_mixed_in(packed: Path) -> None:
    """An index names all of its own."""
    shutil.copy(packed / "shard-000002.tar", packed / "shard-000009.tar")
    assert refused(packed) == (
        f"{packed} has shards that its index/ does not name, such as shard-000009.tar: they are "
        "of other photos. Move them to a folder of their own."
    )


def test_an_index_of_another_version_is_named(packed: Path) -> None:
    """Whatever else is in it."""
    file = packed / "index" / "index.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "format": 2}))
    assert refused(packed) == (
        f"{packed} was packed in format 2, and this version reads format 1. Pack the photos again "
        "with this version."
    )


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"format": 1, "shards": [1]}'])
def test_a_damaged_index_is_named(content: str, packed: Path) -> None:
    """With the file."""
    file = packed / "index" / "index.json"
    file.write_text(content)
    assert refused(packed).startswith(f"{file} is missing or damaged (")


def test_a_damaged_column_is_named(packed: Path) -> None:
    """One byte is enough."""
    file = packed / "index" / "label.npy"
    file.write_bytes(file.read_bytes()[:-1] + b"\7")
    text = f"{file} is missing or damaged (other bytes than were packed). {AGAIN}"
    assert refused(packed) == text
    file.unlink()
    assert refused(packed) == f"{file} is missing or damaged (No such file or directory). {AGAIN}"


def test_shards_without_an_index_are_not_a_folder_of_classes(packed: Path) -> None:
    """They may have been copied alone."""
    shutil.rmtree(packed / "index")
    assert refused(packed) == f"{packed} has shards and no index/. {AGAIN}"
    for file in packed.glob("*.tar"):
        file.unlink()
    assert refused(packed) == (
        f"{packed} holds no packed photos, as `kvgg data pack` writes them. Check the path."
    )


def flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)


DAMAGES: dict[str, Callable[[Path], object]] = {
    "no index": lambda out: shutil.rmtree(out / "index"),
    "unfinished": lambda out: [shutil.rmtree(out / "index"), (out / "unfinished.json").touch()],
    "cut index": lambda out: (out / "index" / "index.json").write_text('{"format": 1'),
    "another version": lambda out: (out / "index" / "index.json").write_text(
        '{"format": 2, "shards": [], "classes": []}'
    ),
    "changed column": lambda out: flip(out / "index" / "label.npy"),
    "missing column": lambda out: (out / "index" / "label.npy").unlink(),
    "cut shard": lambda out: (out / "shard-000001.tar").write_text("x"),
    "missing shard": lambda out: (out / "shard-000001.tar").unlink(),
}


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Url]:
    """An address, and a cache of one's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with faulty():
        yield Url("faulty://out")


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_is_wrong_elsewhere_is_said_as_here(damage: str, packed: Path, elsewhere: Url) -> None:
    """In the same words."""
    DAMAGES[damage](packed)
    upload(packed, "memory://out")
    here = refused(packed).replace(str(packed), str(elsewhere))
    assert refused(elsewhere) == here


def test_an_index_elsewhere_is_fetched_once(packed: Path, elsewhere: Url) -> None:
    """And mapped into memory as one here is."""
    upload(packed, "memory://out")
    here, there = read_index(packed), read_index(elsewhere)
    assert (there.keys, there.classes, there.shards) == (here.keys, here.classes, here.shards)
    for name, column in here.columns.items():
        np.testing.assert_array_equal(there.columns[name], column)
    assert all(isinstance(column.base, np.memmap) for column in there.columns.values())
    Faulty.parts.clear()
    assert read_index(elsewhere).keys == here.keys
    assert Faulty.parts == []


def test_a_bucket_that_refuses_the_index_is_named(packed: Path, elsewhere: Url) -> None:
    """By the address that the user gave."""
    upload(packed, "memory://out")
    Faulty.errors = [PermissionError("Forbidden")]
    assert refused(elsewhere) == (
        "faulty://out: access is refused (Forbidden). Check the address, and give your credentials "
        "where its library looks for them: docs/how-to/elsewhere.md."
    )
