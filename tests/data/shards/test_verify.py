"""Verifying packed photos: whatever byte is another, it is found."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from kvgg_jax.core.errors import DataError
from kvgg_jax.core.events import Event, Progress
from kvgg_jax.data.shards.pack import pack_data
from kvgg_jax.data.shards.verify import Change, Verification, verify_data
from kvgg_jax.data.sources.shards import Shards


@pytest.fixture
def packed(photos: Path, tmp_path: Path) -> Path:
    """36 photos in 9 shards."""
    return pack_data(photos, tmp_path / "out", shard_bytes=20_000).folder


def flip(file: Path, at: int) -> None:
    content = bytearray(file.read_bytes())
    content[at] ^= 1
    file.write_bytes(content)


def test_unchanged_shards_are_said_to_be(packed: Path) -> None:
    """Each shard is told."""
    told: list[Event] = []
    assert verify_data(packed, emit=told.append) == Verification(packed, 36, 9, ())
    assert told == [Progress("verifying", done, 9) for done in range(1, 10)]


def test_changed_photos_are_named(packed: Path) -> None:
    """Labels and headers too, by their shard."""
    index = Shards(packed).index
    first, second = np.flatnonzero(index.columns["shard"] == 1)[:2]
    flip(packed / "shard-000001.tar", int(index.columns["offset"][first]) + 60)
    flip(packed / "shard-000001.tar", int(index.columns["offset"][second]))
    flip(packed / "shard-000004.tar", 0)
    found = verify_data(packed)
    assert found.changes == (
        Change("shard-000001.tar", index.keys[first]),
        Change("shard-000001.tar", index.keys[second]),
        Change("shard-000004.tar", None),
    )
    assert found.to_json()["changes"][0] == {
        "shard": "shard-000001.tar",
        "photo": index.keys[first],
    }


def test_a_shard_that_cannot_be_read_is_an_error(
    packed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not a changed one."""

    def fail(file: Path) -> str:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("kvgg_jax.data.shards.verify.digest", fail)
    with pytest.raises(DataError) as caught:
        verify_data(packed)
    assert str(caught.value) == f"Cannot read {packed}/shard-000000.tar: Permission denied."
