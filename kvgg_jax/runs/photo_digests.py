"""`digests.csv`: photos, and digests of their class and pixels, as columns."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Self

import numpy as np
from numpy.typing import NDArray

from kvgg_jax.core.files import csv_texts
from kvgg_jax.data.columns import Digests, Texts
from kvgg_jax.data.reader import DecodedImages
from kvgg_jax.data.samples import Samples


@dataclass(frozen=True, slots=True)
class PhotoDigests:
    """Photos with a digest each, without a string of each in memory."""

    paths: Texts
    digests: Digests
    """SHA-256 of class name and pixels as the network sees them; zeros for one without."""

    @classmethod
    def of(cls, decoded: DecodedImages) -> Self:
        """Those of photos that have been read."""
        samples, digests = decoded.samples, Digests.blank(len(decoded.samples))
        rows = zip(samples.labels, decoded.digests(), strict=True)
        for row, (label, pixels) in enumerate(rows):
            digests.put(row, _digest(f"{pixels}{samples.classes[label]}"))
        return cls(Texts.of(samples.paths), digests)

    @classmethod
    def read(cls, lines: Iterable[str]) -> Self:
        """Those of `digests.csv`. Raises ValueError when the lines are not such a table."""
        content = bytearray()

        def paths() -> Iterator[str]:
            for number, row in enumerate(csv.reader(lines)):
                if len(row) != 2:
                    raise ValueError("expected path,digest")
                if number:
                    digest = bytes.fromhex(row[1]) or bytes(32)
                    if len(digest) != 32:
                        raise ValueError(f"{row[1]!r} is no SHA-256")
                    content.extend(digest)
                    yield row[0]

        found = Texts.of(paths())
        return cls(found, Digests(np.asarray(content).reshape(-1, 32)))

    def to_csv(self, samples: Samples) -> Iterator[str]:
        """The text of `digests.csv`, some rows at a time: all `samples`, without a digest where it
        was left out as unreadable."""
        rows = zip(samples.paths, self.paths.find(Texts.of(samples.paths)), strict=True)
        table = ((path, self.digests[row] if row >= 0 else "") for path, row in rows)
        return csv_texts(chain([("path", "sha256")], table), csv.QUOTE_ALL)

    def lost(self, now: PhotoDigests) -> Texts:
        """The photos with a digest that are not there any more."""
        return self._take(now.paths.find(self.paths) < 0)

    def changed(self, now: PhotoDigests) -> Texts:
        """The photos whose pixels or class are not what they were."""
        rows = now.paths.find(self.paths)
        before, after = (one.digests.values.view(np.uint64) for one in (self, now))
        return self._take((rows >= 0) & (before != after[rows]).any(axis=1))

    def of_photos(self, paths: Texts) -> Digests:
        """The digests of those of `paths` that have one."""
        rows = self.paths.find(paths)
        found = self.digests.take(rows[rows >= 0])
        return found.take(np.flatnonzero(found.values.any(axis=1)))

    def _take(self, those: NDArray[np.bool_]) -> Texts:
        return self.paths.take(np.flatnonzero(those & self.digests.values.any(axis=1)))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()
