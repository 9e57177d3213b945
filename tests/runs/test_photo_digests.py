"""Digests of the photos of a run, as columns and as `digests.csv`."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import numpy as np
import pytest

from kvgg_jax.data.columns import Digests, Texts
from kvgg_jax.data.reader import DecodedImages
from kvgg_jax.data.samples import Samples
from kvgg_jax.data.sources.folder import Folder
from kvgg_jax.runs.photo_digests import PhotoDigests

SHA = {letter: hashlib.sha256(letter.encode()).hexdigest() for letter in "xyz"}


def digests(**given: str) -> PhotoDigests:
    """Of photos by one letter each; a space for none."""
    lines = [f"{path},{SHA.get(letter, '')}\n" for path, letter in given.items()]
    return PhotoDigests.read(["path,sha256\n", *lines])


def test_each_is_that_of_pixels_and_class() -> None:
    """In the order of the photos; one that could not be read has none in the table."""
    samples = Samples(Folder(Path("r")), ("a/2", "b/1", 'a/"\n'), (0, 1, 0), ("a", "b"))
    images = np.arange(2 * 12, dtype=np.uint8).reshape(2, 2, 2, 3)
    found = PhotoDigests.of(DecodedImages(samples.take([1, 2]), images))
    expected = [
        hashlib.sha256((hashlib.sha256(image.tobytes()).hexdigest() + name).encode()).hexdigest()
        for image, name in zip(images, "ba", strict=True)
    ]
    assert (found.paths, found.digests) == (("b/1", 'a/"\n'), expected)
    text = "".join(found.to_csv(samples))
    assert text == (f'"path","sha256"\n"a/2",""\n"b/1","{expected[0]}"\n"a/""\n","{expected[1]}"\n')
    again = PhotoDigests.read(text.splitlines(keepends=True))
    assert (again.paths, again.digests) == (samples.paths, ["0" * 64, *expected])


def test_what_has_changed_and_what_is_lost_is_named() -> None:
    """Not what had no digest, nor what is new."""
    then = digests(a="x", b="y", c=" ", d="z", e=" ")
    now = digests(e="x", b="x", a="x", f="z")
    assert then.changed(now) == ("b",)
    assert then.lost(now) == ("d",)


def test_those_of_some_photos_are_found() -> None:
    """Of photos that are there and have one, in their order."""
    given = digests(a="x", b="y", c=" ", d="z")
    found = given.of_photos(Texts.of(["d", "q", "c", "a"]))
    assert isinstance(found, Digests)
    assert found == (SHA["z"], SHA["x"])


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("a\n", "expected path,digest"),
        ("a,12\n", "'12' is no SHA-256"),
        ("a,x\n", "non-hexadecimal number found in fromhex() arg at position 0"),
    ],
)
def test_a_damaged_table_is_refused(row: str, reason: str) -> None:
    """As what it is."""
    with pytest.raises(ValueError, match=f"^{re.escape(reason)}$"):
        PhotoDigests.read(["path,sha256\n", row])
