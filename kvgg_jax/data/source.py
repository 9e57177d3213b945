"""Where photos come from, as far as reading and splitting ask: `Source`.

`folder.Samples` is the one there is: files in class folders. Another is a small class that reads
its bytes elsewhere, and whatever lists its keys, as `folder.scan` does. Photos in a zip archive:

    class ZipSamples(Samples):  # root: the archive; paths: names in it, "<class>/<file>"
        def read(self, i: int) -> bytes:
            with zipfile.ZipFile(self.root) as archive:
                return archive.read(self.paths[i])

`split.csv`, `digests.csv` and the fingerprint of a run go by key, so the same photos under the same
keys are the same data, wherever they lie. Comparing photos (`--split grouped`, `data check`) and
looking for changed files at a resume still open files of a folder.
"""

from __future__ import annotations

from typing import Protocol


class Source(Protocol):
    """Labelled photos by number, from 0 to its length."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names, in the order of the network's outputs."""

    def __len__(self) -> int: ...

    def key(self, i: int) -> str:
        """What tells photo `i` from the others, for good: a run's files name it so."""

    def label(self, i: int) -> int:
        """The index of its class in `classes`."""

    def name(self, i: int) -> str:
        """What messages call it: where it is."""

    def read(self, i: int) -> bytes:
        """The content of its file. Raises ImageError, whose text has `name`, if there is none."""


def keys(source: Source) -> list[str]:
    """The key of each photo, in order."""
    return [source.key(i) for i in range(len(source))]
