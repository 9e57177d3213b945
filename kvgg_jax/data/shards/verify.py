"""Whether shards still hold the bytes that were packed."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kvgg_jax.core.errors import DataError
from kvgg_jax.core.events import Emit, ignore
from kvgg_jax.core.files import digest
from kvgg_jax.core.places import Place, place
from kvgg_jax.core.text import escape_name
from kvgg_jax.data.shards.index import Index, read_index
from kvgg_jax.data.source import each
from kvgg_jax.data.sources.remote import download


@dataclass(frozen=True, slots=True)
class Change:
    """A shard with other bytes than were packed: in this photo, or around its photos."""

    shard: str
    photo: str | None


@dataclass(frozen=True, slots=True)
class Verification:
    """What is in a folder of shards, and what of it has changed."""

    folder: Place
    photos: int
    shards: int
    changes: tuple[Change, ...]

    def to_json(self) -> dict[str, Any]:
        """For `--json`."""
        changes = [asdict(change) for change in self.changes]
        return {
            "folder": str(self.folder),
            "photos": self.photos,
            "shards": self.shards,
            "changes": changes,
        }


def verify_data(folder: str | Place, *, emit: Emit = ignore) -> Verification:
    """Read all shards in `folder`, or at an address, and compare them with their index.

    Raises DataError where shards or index are missing, cut short or of another version.
    """
    root = place(folder)
    index = read_index(root)

    def look_at(number: int) -> list[Change]:
        return list(_changes(root, index, number))

    found = each(look_at, range(len(index.shards)), stage="verifying", emit=emit)
    changes = tuple(change for changes in found for change in changes)
    return Verification(root, len(index.keys), len(index.shards), changes)


def _changes(root: Place, index: Index, number: int) -> Iterator[Change]:
    """Those of one shard."""
    shard = index.shards[number]
    if isinstance(root, Path):
        yield from _compare(root / shard.name, index, number)
        return
    with tempfile.TemporaryDirectory() as folder:  # what is kept is known to be right
        copy = Path(folder, shard.name)
        download(root / shard.name, copy)
        yield from _compare(copy, index, number)


def _compare(file: Path, index: Index, number: int) -> Iterator[Change]:
    """The changes of a shard in a file."""
    shard, columns = index.shards[number], index.columns
    try:
        if digest(file) == shard.sha256:
            return
        changed = []
        with file.open("rb") as content:
            for row in np.flatnonzero(columns["shard"] == number).tolist():
                content.seek(columns["offset"][row], os.SEEK_SET)
                photo = content.read(columns["length"][row])
                if hashlib.sha256(photo).digest() != columns["sha256"][row].tobytes():
                    changed.append(Change(shard.name, index.keys[row]))
    except OSError as error:
        raise DataError(f"Cannot read {escape_name(file)}: {error.strerror}.") from None
    yield from changed or [Change(shard.name, None)]
