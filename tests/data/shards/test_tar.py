"""One shard: the bytes depend on the photos alone, and WebDataset reads it."""

from __future__ import annotations

import tarfile
from pathlib import Path

import numpy as np
import pytest

from kvgg_jax.core.errors import DataError, ImageError
from kvgg_jax.core.files import digest
from kvgg_jax.data.shards.tar import add, new_shard, read_shard, shard_name
from support.folders import image


def written(file: Path, photos: dict[int, bytes]) -> Path:
    with new_shard(file) as tar:
        for number, content in photos.items():
            add(tar, number, content, label=number % 3, name="x")
    return file


@pytest.fixture
def photos(tmp_path: Path) -> dict[int, bytes]:
    """A PNG and a JPEG, by their numbers."""
    kinds = {4: "PNG", 7: "JPEG"}
    return {number: image(tmp_path / "a.png", kind).read_bytes() for number, kind in kinds.items()}


def test_a_shard_is_the_photos_and_their_classes(tmp_path: Path, photos: dict[int, bytes]) -> None:
    """Suffixes are those of the content; no time, no owner."""
    file = written(tmp_path / shard_name(0), photos)
    with tarfile.open(file) as tar:
        members = tar.getmembers()
        assert [m.name for m in members] == [
            *("000000004.png", "000000004.cls", "000000007.jpg", "000000007.cls")
        ]
        assert {(m.mtime, m.uid, m.gid, m.uname, m.mode) for m in members} == {(0, 0, 0, "", 0o644)}
        contents = [tar.extractfile(member).read() for member in members]  # type: ignore[union-attr]
    assert contents == [photos[4], b"1", photos[7], b"1"]
    assert file.read_bytes() == written(tmp_path / "again.tar", photos).read_bytes()


def test_what_is_read_of_it_says_where_each_photo_is(
    tmp_path: Path, photos: dict[int, bytes]
) -> None:
    """And that it is whole."""
    file = written(tmp_path / shard_name(3), photos)
    shard, members = read_shard(file)
    assert shard == ("shard-000003.tar", file.stat().st_size, digest(file))
    assert members.number.tolist() == [4, 7]
    content = file.read_bytes()
    places = zip(members.offset, members.length, strict=True)
    assert [content[start : start + length] for start, length in places] == [*photos.values()]
    assert len(np.unique(members.sha256, axis=0)) == 2


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # it closes no file
def test_webdataset_reads_it(tmp_path: Path, photos: dict[int, bytes]) -> None:
    """Bytes and labels, in pairs."""
    webdataset = pytest.importorskip("webdataset")
    file = written(tmp_path / shard_name(0), photos)
    data = webdataset.WebDataset(str(file), shardshuffle=False, empty_check=False)
    found = list(data.decode().to_tuple("png;jpg", "cls"))
    assert found == [(photos[4], 1), (photos[7], 1)]


def test_a_shard_that_is_stopped_is_not_there(tmp_path: Path, photos: dict[int, bytes]) -> None:
    """Nor is a part of it."""
    (tmp_path / "out").mkdir()
    with pytest.raises(ImageError) as caught:
        written(tmp_path / "out" / shard_name(0), {**photos, 9: b"no image"})
    assert str(caught.value) == "x: is text, not an image. Replace or remove it."
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"x" * 3000, None])
def test_what_is_no_shard_is_named(
    tmp_path: Path, photos: dict[int, bytes], content: bytes | None
) -> None:
    """Other bytes, or an archive of other files."""
    file = tmp_path / shard_name(0)
    if content is None:
        with tarfile.open(file, "w") as tar:
            tar.add(tmp_path / "a.png", "a.png")
    else:
        file.write_bytes(content)
    with pytest.raises(DataError, match=f"^{file} is no shard of this program \\(.*\\)\\.$"):
        read_shard(file)
