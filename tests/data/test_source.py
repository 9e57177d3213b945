"""A source of photos other than a folder: what is read and written goes by key."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest

from kvgg_jax.core.errors import DataError, ImageError
from kvgg_jax.data.folder import Samples, scan
from kvgg_jax.data.reader import fingerprint, read
from kvgg_jax.data.source import Source, keys
from kvgg_jax.data.split import split_samples, split_to_csv
from kvgg_jax.runs.manifest import digests_of


class ZipSamples(Samples):
    """The example in `source`."""

    def read(self, i: int) -> bytes:
        with zipfile.ZipFile(self.root) as archive:
            return archive.read(self.paths[i])


@pytest.fixture
def zipped(photos: Path, tmp_path: Path) -> ZipSamples:
    """The photos of a folder in an archive."""
    samples, archive = scan(photos), tmp_path / "photos.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for path in samples.paths:
            file.write(photos / path, path)
    return ZipSamples(archive, samples.paths, samples.labels, samples.classes)


def test_samples_of_a_folder_are_a_source(photos: Path) -> None:
    """A photo's key is its path below the folder, with forward slashes, on every system."""
    samples = scan(photos)
    source: Source = samples
    place = samples.paths.index("red/red_01.png")
    assert (source.key(place), source.classes[source.label(place)]) == ("red/red_01.png", "red")
    assert source.name(place) == str(photos / "red" / "red_01.png")
    assert source.read(place) == (photos / "red" / "red_01.png").read_bytes()
    assert keys(source) == list(samples.paths)


@pytest.mark.parametrize("cache", ["memory", "none"])
def test_the_same_photos_elsewhere_are_the_same_data(
    cache: str, zipped: ZipSamples, photos: Path
) -> None:
    """Pixels, digests, fingerprint and split.csv, to the byte."""
    here, there = read(scan(photos), 16), read(zipped, 16, cache=cache)
    rows = np.arange(len(zipped))
    np.testing.assert_array_equal(here.images[rows], there.images[rows])
    assert fingerprint(here) == fingerprint(there)
    assert digests_of(here) == digests_of(there)
    splits = [split_samples(one.samples, val_split=0.2, seed=1) for one in (here, there)]
    assert split_to_csv(splits[0]) == split_to_csv(splits[1])


def test_a_bad_photo_is_called_by_the_name_that_the_source_gives_it(tmp_path: Path) -> None:
    """Where it is, not its key."""
    archive = tmp_path / "photos.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("a/1.png", "no image")
    with pytest.raises(DataError) as caught:
        read(ZipSamples(archive, ("a/1.png",), (0,), ("a", "b")), 16)
    assert str(caught.value) == (
        "1 of 1 images cannot be read:\n"
        f"  {archive}/a/1.png: is text, not an image. Replace or remove it.\n"
        "Remove or replace them."
    )


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "does not exist. Check the path."),
        (b"", "is empty (0 bytes). Replace or remove it."),
        (b"no image", "is text, not an image. Replace or remove it."),
    ],
)
def test_a_file_that_is_no_image_is_not_read(
    content: bytes | None, reason: str, tmp_path: Path
) -> None:
    """Its first bytes tell; a pipe or a file of another kind is not taken into memory."""
    if content is not None:
        (tmp_path / "1.png").write_bytes(content)
    with pytest.raises(ImageError) as caught:
        Samples(tmp_path, ("1.png",), (0,), ("a",)).read(0)
    assert str(caught.value) == f"{tmp_path / '1.png'}: {reason}"
