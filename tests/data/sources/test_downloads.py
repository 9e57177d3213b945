"""What was downloaded is kept, whole, and up to a limit."""

from __future__ import annotations

import hashlib
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from kvgg_jax.data.sources.downloads import DIGEST, Downloads


def never() -> bytes:
    raise AssertionError("downloaded again")


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_downloaded_once(tmp_path: Path) -> None:
    """By another process too."""
    assert Downloads(tmp_path / "kept").get("a", lambda: b"1") == b"1"
    assert Downloads(tmp_path / "kept").get("a", never) == b"1"


def test_a_file_that_is_damaged_is_downloaded_again(tmp_path: Path) -> None:
    """A machine that lost power may keep a name without its bytes."""
    kept = Downloads(tmp_path)
    for damage in (b"", b"short", bytes(DIGEST + 1)):
        kept.get("a", lambda: b"1")
        (tmp_path / "a").write_bytes(damage)
        assert kept.get("a", lambda: b"2") == b"2"
        assert kept.get("a", never) == b"2"


def test_the_longest_unused_go_first(tmp_path: Path) -> None:
    """Reading counts as use. What is over the limit is less than a step."""
    size, limit = 1000 - DIGEST, 10_000
    kept = Downloads(tmp_path, limit)
    for number in range(9):
        kept.get(f"{number}", lambda: bytes(size))
        os.utime(tmp_path / f"{number}", (number, number))
    kept.get("0", never)
    kept.get("9", lambda: bytes(size))
    assert names(tmp_path) == [*"023456789"]
    for number in range(100, 200):
        kept.get(f"{number}", lambda: bytes(size))
        assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= limit


def test_what_fails_leaves_nothing(tmp_path: Path) -> None:
    """Neither a download that breaks off nor a disk that is full."""
    kept = Downloads(tmp_path / "kept")
    with pytest.raises(AssertionError, match="downloaded again"):
        kept.get("a", never)
    assert not (tmp_path / "kept").exists()
    (tmp_path / "file").touch()
    assert Downloads(tmp_path / "file").get("a", lambda: b"1") == b"1"
    assert names(tmp_path) == ["file"]


def test_a_file_is_kept_under_its_digest_and_written_once(tmp_path: Path) -> None:
    """However many threads ask for it."""
    kept, name = Downloads(tmp_path), hashlib.sha256(b"1").hexdigest()
    written: list[Path] = []

    def write(file: Path) -> None:
        written.append(file)
        file.write_bytes(b"1")

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(lambda _: kept.file(name, write), range(32))) == {tmp_path / name}
    assert (len(written), names(tmp_path)) == (1, [name])
    (tmp_path / name).write_bytes(b"2")
    assert Downloads(tmp_path).find(name) is None
    assert Downloads(tmp_path).file(name, write).read_bytes() == b"1"
    assert Downloads(tmp_path).find(name) == tmp_path / name
    assert len(written) == 2


def test_a_file_with_another_digest_is_not_kept(tmp_path: Path) -> None:
    """It would be found for good."""
    with pytest.raises(ValueError, match="the digest is not 00"):
        Downloads(tmp_path).file("00", lambda file: file.write_bytes(b"1") and None)
    assert names(tmp_path) == []


def test_there_is_room_for_what_is_kept_at_once(tmp_path: Path) -> None:
    """Less than the limit by a step, whether it is used or not, and on a small disk a quarter."""
    kept = Downloads(tmp_path / "kept", 16_000)
    assert kept.room == 15_000
    kept.get("a", lambda: bytes(10_000))
    assert kept.room == 15_000
    free = shutil.disk_usage(tmp_path).free
    assert Downloads(tmp_path, 2**60).room < free / 3
