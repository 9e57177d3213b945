"""The index beside the shards: a folder with a NumPy file per column, mapped into memory, and
`index.json`, which has the classes, and the SHA-256 of each shard and column."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kvgg_jax.core.errors import DataError
from kvgg_jax.core.files import digest, flush, write_text
from kvgg_jax.core.places import Place
from kvgg_jax.core.text import escape_name
from kvgg_jax.data.columns import Categories, Numbers, Texts, encode
from kvgg_jax.data.samples import PARTS, Samples
from kvgg_jax.data.shards.place import AGAIN, bytes_of, damaged, has, text_of, whole
from kvgg_jax.data.shards.tar import PATTERN, Members, Shard, shard_name
from kvgg_jax.data.source import in_order, threads_for

FORMAT = 1
FOLDER, ABOUT, UNFINISHED = "index", "index.json", "unfinished.json"

Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Index:
    """What is in the shards of a folder."""

    shards: tuple[Shard, ...]
    classes: tuple[str, ...]
    keys: Texts
    columns: Arrays
    """By name: shard, offset and length, in the smallest type that holds them; uint8 sha256
    [photos, 32]; int32 label; part, group and weight where they are known."""

    def table(self) -> dict[str, Any]:
        """All that `Samples` has besides a source."""
        columns = self.columns
        table = {"paths": self.keys, "labels": Numbers(columns["label"]), "classes": self.classes}
        if "part" in columns:
            table["parts"] = Categories(PARTS, columns["part"])
        if "group" in columns:
            names = Texts.packed(columns["group_name"], columns["group_name_end"])
            table["groups"] = Categories(names, columns["group"])
        if "weight" in columns:
            table["weights"] = Numbers(columns["weight"])
        return table

    def find(self, key: str) -> int | None:
        """The row of a photo."""
        hashes = self.columns["hash"]
        wanted = _hash(key)
        first, stop = (int(np.searchsorted(hashes, wanted, side)) for side in ("left", "right"))
        rows = self.columns["hash_row"][first:stop].tolist()
        return next((row for row in rows if self.keys[row] == key), None)


def write_index(folder: Path, samples: Samples, shards: list[tuple[Shard, Members]]) -> None:
    """Write the index of `samples`, which are those in the shards, in one move."""
    columns = _columns(samples, [members for _, members in shards])
    temporary = folder / f".{FOLDER}.tmp"
    for left in (temporary, folder / FOLDER):  # by a killed pack
        shutil.rmtree(left, ignore_errors=True)
    temporary.mkdir()
    for name, column in columns.items():
        np.save(temporary / f"{name}.npy", column)
        flush(temporary / f"{name}.npy")
    about = {
        "format": FORMAT,
        "photos": len(samples),
        "classes": samples.classes,
        "shards": [shard._asdict() for shard, _ in shards],
        "columns": {name: digest(temporary / f"{name}.npy") for name in columns},
    }
    write_text(temporary / ABOUT, json.dumps(about, indent=1) + "\n")
    temporary.rename(folder / FOLDER)
    flush(folder)


def _columns(samples: Samples, members: list[Members]) -> dict[str, NDArray[Any]]:
    key, key_end = Texts.of(samples.paths).pack()
    hashes = np.array([_hash(path) for path in samples.paths], np.uint64)
    order = np.argsort(hashes, kind="stable")
    rows = np.argsort(np.concatenate([one.number for one in members]))  # as samples have them
    shard = np.repeat(np.arange(len(members)), [len(one.number) for one in members])
    columns: dict[str, NDArray[Any]] = {
        "key": np.frombuffer(key, np.uint8),
        "key_end": key_end,
        "hash": hashes[order],
        "hash_row": _small(order),
        "label": np.array(samples.labels, np.int32),
        "shard": _small(shard[rows]),
        "offset": _small(np.concatenate([one.offset for one in members])[rows]),
        "length": _small(np.concatenate([one.length for one in members])[rows]),
        "sha256": np.concatenate([one.sha256 for one in members])[rows],
    }
    if samples.parts is not None:
        columns["part"] = np.fromiter(map(PARTS.index, samples.parts), np.int32)
    if samples.groups is not None:
        groups = Categories.of(samples.groups)
        name, name_end = Texts.of(groups.names).pack()
        columns["group"] = groups.codes
        columns |= {"group_name": np.frombuffer(name, np.uint8), "group_name_end": name_end}
    if samples.weights is not None:
        columns["weight"] = np.array(samples.weights, np.float64)
    return columns


def _small(values: NDArray[np.int64]) -> NDArray[Any]:
    """Whole numbers from 0 on, in the smallest type: their pages are memory once all are read."""
    return values.astype(np.min_scalar_type(values.max(initial=0)))


def read_index(folder: Place) -> Index:
    """The index of `folder`, whose shards are all there. Raises DataError; no photo is read.

    From an address, its columns are kept on this machine.
    """
    name, place = escape_name(folder), folder / FOLDER
    if not has(folder, FOLDER if isinstance(folder, Path) else f"{FOLDER}/{ABOUT}"):
        if has(folder, UNFINISHED):
            raise DataError(f"{name} is not packed to its end. Run `kvgg data pack` again.")
        if not has(folder, shard_name(0)):
            raise DataError(
                f"{name} holds no packed photos, as `kvgg data pack` writes them. Check the path."
            )
        raise DataError(f"{name} has shards and no {FOLDER}/. {AGAIN}")
    try:
        about = json.loads(text_of(place / ABOUT))
        form, columns = about["format"], about.get("columns", {})
        shards = tuple(Shard(**one) for one in about["shards"])
        classes = tuple(about["classes"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise damaged(place / ABOUT, error) from None
    if form != FORMAT:
        raise DataError(
            f"{name} was packed in format {form}, and this version reads format {FORMAT}. Pack the "
            "photos again with this version."
        )
    arrays = {
        column: np.asarray(np.load(whole(place / f"{column}.npy", sha256), mmap_mode="r"))
        for column, sha256 in columns.items()
    }
    _check_shards(folder, shards)
    keys = Texts.packed(arrays.pop("key"), arrays.pop("key_end"))
    return Index(shards, classes, keys, arrays)


def _check_shards(folder: Place, shards: tuple[Shard, ...]) -> None:
    """Raises DataError where a shard is missing, cut short, or of other photos."""
    names = {shard.name for shard in shards}
    if isinstance(folder, Path) and (
        others := {file.name for file in folder.glob(PATTERN)} - names
    ):
        raise DataError(
            f"{escape_name(folder)} has shards that its {FOLDER}/ does not name, such as "
            f"{min(others)}: they are of other photos. Move them to a folder of their own."
        )

    def check(shard: Shard) -> None:
        file = folder / shard.name
        try:
            found = bytes_of(file)
        except OSError as error:
            raise damaged(file, error) from None
        if found not in (shard.bytes, None):
            raise damaged(file, f"{found:,} bytes, packed were {shard.bytes:,}")

    for _ in in_order(check, shards, threads=threads_for(folder)):
        pass


def _hash(key: str) -> np.uint64:
    return np.frombuffer(hashlib.blake2b(encode(key), digest_size=8).digest(), "<u8")[0]
