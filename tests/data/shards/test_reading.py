"""Shards at an address: whole where they fit or are expected, else photo by photo."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import fsspec
import pytest

from kvgg_jax.core.errors import DataError
from kvgg_jax.core.places import Url
from kvgg_jax.data.shards import reading
from kvgg_jax.data.shards.pack import pack_data
from kvgg_jax.data.shards.reading import Elsewhere, open_shards
from kvgg_jax.data.shards.tar import Shard
from kvgg_jax.data.sources.downloads import Downloads
from kvgg_jax.data.sources.shards import Shards
from support.elsewhere import Faulty, faulty, shard_requests, upload


@pytest.fixture
def there(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[int], Elsewhere]]:
    """36 photos in 9 shards elsewhere, of which so many are kept."""
    packed = pack_data(photos, tmp_path / "out", shard_bytes=20_000).folder
    shards = Shards(packed).index.shards
    size = max(shard.bytes for shard in shards)

    def open_keeping(count: int) -> Elsewhere:
        kept = Downloads(tmp_path / "kept", (count * size + size // 2) * 16 // 15)
        monkeypatch.setattr(reading, "downloads", lambda: kept)
        monkeypatch.setattr("kvgg_jax.data.shards.place.downloads", lambda: kept)
        return Elsewhere(Url("faulty://out"), shards)

    with faulty():
        upload(packed, "memory://out")
        yield open_keeping


def test_shards_that_fit_come_once_and_whole(there: Callable[[int], Elsewhere]) -> None:
    """Whoever reads them, in any order; the next process has them."""
    shards = there(9)
    with ThreadPoolExecutor(8) as pool:
        contents = list(pool.map(lambda n: shards.read(n % 9, 10, 512), range(90)))
    assert sorted(shard_requests()) == [(number, None) for number in range(9)]
    assert [there(9).read(n % 9, 10, 512) for n in range(90)] == contents
    assert (len(shard_requests()), shards.most()) == (9, 9)


def test_of_other_shards_come_only_the_bytes_of_a_photo(
    there: Callable[[int], Elsewhere],
) -> None:
    """Unless they are expected."""
    shards = there(4)
    whole = there(9).read(3, 100, 512)
    assert (there(4).most(), shards.most()) == (4, 4)
    Faulty.parts.clear()
    shards = there(4)
    assert shards.read(3, 100, 512) == whole  # is kept
    first = shards.read(5, 100, 512)
    assert shard_requests() == [(5, 512)]
    shards.expect([5, 6])
    assert shards.read(5, 100, 512) == first
    shards.read(6, 100, 512)
    shards.expect(())
    shards.read(5, 100, 512)
    assert sorted(shard_requests()[1:]) == [(5, None), (6, None)]


def test_what_is_kept_and_damaged_comes_again(
    there: Callable[[int], Elsewhere], tmp_path: Path
) -> None:
    """As it does after a loss of power."""
    first = there(9).read(0, 100, 512)
    (kept,) = (tmp_path / "kept").iterdir()
    kept.write_bytes(b"damaged")
    assert there(9).read(0, 100, 512) == first
    assert shard_requests() == [(0, None)] * 2


def test_a_shard_with_other_bytes_is_refused(there: Callable[[int], Elsewhere]) -> None:
    """And one that is gone; neither is kept."""
    shards, told = there(9), []
    fsspec.filesystem("memory").pipe_file("/out/shard-000001.tar", b"x")
    fsspec.filesystem("memory").rm("/out/shard-000002.tar")
    for number in (1, 2):
        with pytest.raises(DataError) as caught:
            shards.read(number, 100, 512)
        told.append(str(caught.value))
    assert told == [
        f"faulty://out/shard-00000{number}.tar is missing or damaged ({reason}). Copy it again, or "
        "pack the photos again."
        for number, reason in (
            (1, "other bytes than were packed"),
            (2, "No such file or directory"),
        )
    ]


def test_a_shard_that_was_removed_meanwhile_is_no_error(
    there: Callable[[int], Elsewhere], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another thread or program made room."""
    first = there(9).read(0, 100, 512)
    monkeypatch.setattr(reading, "whole", lambda *_: tmp_path / "gone")
    assert there(9).read(0, 100, 512) == first
    assert shard_requests() == [(0, None), (0, 512)]


def test_a_disk_without_room_is_named(there: Callable[[int], Elsewhere], tmp_path: Path) -> None:
    """With the way out."""
    (tmp_path / "kept").touch()
    with pytest.raises(DataError) as caught:
        there(9).read(0, 100, 512)
    assert str(caught.value) == (
        f"Cannot keep faulty://out/shard-000000.tar in {tmp_path}/kept: File exists. Make room "
        "there, or name another folder: XDG_CACHE_HOME."
    )


def test_a_server_that_knows_no_parts_is_named(
    there: Callable[[int], Elsewhere], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A photo would cost a shard."""
    shards = there(4)
    monkeypatch.setattr(reading, "fetch_part", lambda url, start, length: bytes(9999))
    with pytest.raises(DataError) as caught:
        shards.read(0, 100, 512)
    assert str(caught.value) == (
        "faulty://out: its server sends no parts of a file, and all shards are more than this "
        "machine keeps. Copy them to this machine: `data.dir`."
    )


def test_shards_here_are_all_near(tmp_path: Path) -> None:
    """Nothing is to be done for them."""
    (tmp_path / "a").write_bytes(b"0123456789")
    shards = open_shards(tmp_path, (Shard("a", 10, ""),))
    shards.expect([0])
    assert (shards.read(0, 3, 2), shards.most()) == (b"234", 1)
