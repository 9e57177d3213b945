"""Work on many photos at once, and a source other than a folder: all goes by key."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from kvgg_jax.core.errors import DataError
from kvgg_jax.core.events import Progress
from kvgg_jax.data.reader import fingerprint, read
from kvgg_jax.data.samples import Samples
from kvgg_jax.data.source import Source, each
from kvgg_jax.data.sources.folder import scan
from kvgg_jax.data.split import split_samples, split_to_csv
from kvgg_jax.runs.photo_digests import PhotoDigests


@dataclass(frozen=True, slots=True)
class Zip:
    """The example in `source`."""

    root: Path

    def list_keys(self) -> list[str]:
        with zipfile.ZipFile(self.root) as archive:
            return [name for name in archive.namelist() if not name.endswith("/")]

    def name(self, key: str) -> str:
        return str(self.root / key)

    def read(self, key: str) -> bytes:
        with zipfile.ZipFile(self.root) as archive:
            return archive.read(key)


@pytest.fixture
def zipped(photos: Path, tmp_path: Path) -> Samples:
    """The photos of a folder in an archive."""
    samples, archive = scan(photos), tmp_path / "photos.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for path in samples.paths:
            file.write(photos / path, path)
    source: Source = Zip(archive)
    return replace(samples, source=source)


@pytest.mark.parametrize("cache", ["memory", "none"])
def test_the_same_photos_elsewhere_are_the_same_data(
    cache: str, zipped: Samples, photos: Path
) -> None:
    """Pixels, digests, fingerprint and split.csv, to the byte."""
    assert sorted(zipped.source.list_keys()) == sorted(scan(photos).source.list_keys())
    here, there = read(scan(photos), 16), read(zipped, 16, cache=cache)
    rows = np.arange(len(zipped))
    np.testing.assert_array_equal(here.images[rows], there.images[rows])
    assert fingerprint(here) == fingerprint(there)
    assert PhotoDigests.of(here) == PhotoDigests.of(there)
    splits = [split_samples(one.samples, val_split=0.2, seed=1) for one in (here, there)]
    assert list(split_to_csv(splits[0])) == list(split_to_csv(splits[1]))


def test_a_bad_photo_is_called_by_the_name_that_the_source_gives_it(tmp_path: Path) -> None:
    """Where it is, not its key."""
    archive = tmp_path / "photos.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("a/1.png", "no image")
    with pytest.raises(DataError) as caught:
        read(Samples(Zip(archive), ("a/1.png",), (0,), ("a", "b")), 16)
    assert str(caught.value) == (
        "1 of 1 images cannot be read:\n"
        f"  {archive}/a/1.png: is text, not an image. Replace or remove it.\n"
        "Remove or replace them."
    )


def test_results_come_in_order_and_each_is_told() -> None:
    """Whichever thread is first."""
    heard: list[object] = []
    assert each(lambda x: x * x, [3, 1, 2], stage="squaring", emit=heard.append) == [9, 1, 4]
    assert heard == [Progress("squaring", done, 3) for done in (1, 2, 3)]
