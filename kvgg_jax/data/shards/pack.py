"""Packing photos into shards: the same bytes each time, and after a kill from where it was."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from kvgg_jax.core.config import RunConfig
from kvgg_jax.core.errors import DataError, ImageError
from kvgg_jax.core.events import Emit, Note, Progress, Warned, ignore
from kvgg_jax.core.files import read_text, write_text
from kvgg_jax.core.text import escape_name
from kvgg_jax.data.open_photos import open_photos
from kvgg_jax.data.samples import Samples
from kvgg_jax.data.shards.index import FOLDER, FORMAT, UNFINISHED, write_index
from kvgg_jax.data.shards.tar import Members, Shard, add, new_shard, read_shard, shard_name
from kvgg_jax.data.source import in_order

SHARD_BYTES = 256 * 2**20


@dataclass(frozen=True, slots=True)
class Pack:
    """What was packed."""

    folder: Path
    photos: int
    shards: int
    bytes: int
    left_out: int
    """Photos that cannot be read, with `data.skip_bad`."""

    def to_json(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "folder": str(self.folder),
            "photos": self.photos,
            "shards": self.shards,
            "bytes": self.bytes,
            "left_out": self.left_out,
        }


def pack_data(
    data: str | Path,
    folder: str | Path,
    *,
    size: int | None = None,
    shard_bytes: int = SHARD_BYTES,
    config: RunConfig | None = None,
    emit: Emit = ignore,
) -> Pack:
    """Pack the photos of a folder or a list into `folder`, from which `train` reads them too.

    The photos keep their keys, classes, parts, groups and weights. Their files are packed as they
    are; with `size`, as squares of that many pixels a side by `data.resize`, in PNG, which training
    at this size sees alike.
    A shard has `shard_bytes` at most, if no photo is larger. A pack that was stopped continues
    with the next shard, if the photos and options are the same.
    Raises DataError for what `train` would refuse, for other photos, and for a finished pack.
    """
    config, out = (config or RunConfig()).with_data(dir=str(data)), Path(folder)
    if os.path.isdir(data) and out.resolve().is_relative_to(Path(data).resolve()):
        raise DataError(
            f"{escape_name(out)} is in {escape_name(data)}, where it would be taken for a class. "
            "Choose a folder beside it."
        )
    samples = open_photos(config.data, to_train=False, emit=emit)
    job = {
        "format": FORMAT,
        "photos": _digest(samples),
        "size": size,
        "resize": config.data.resize,
        "shard_bytes": shard_bytes,
        "skip_bad": config.data.skip_bad,
    }
    with _begun(out, job):
        shards = _write_shards(out, samples, job, emit)
        rows = np.sort(np.concatenate([members.number for _, members in shards]))
        write_index(out, samples.take(rows), shards)
        (out / UNFINISHED).unlink()
    written = sum(shard.bytes for shard, _ in shards)
    return Pack(out, len(rows), len(shards), written, len(samples) - len(rows))


def _order(count: int) -> NDArray[np.int64]:
    """The rows as they are packed, always the same: classes are mixed in each shard, so that what
    reads shard after shard learns from all of them."""
    return np.random.default_rng(0).permutation(count)


def _digest(samples: Samples) -> str:
    """SHA-256 of all that goes into the index, without the photos."""
    digest = hashlib.sha256(json.dumps([samples.classes]).encode())
    columns = samples.paths, samples.labels, samples.parts, samples.groups, samples.weights
    for column in columns:
        digest.update(b"\n")
        for value in column or ():
            digest.update(f"{value!r},".encode())
    return digest.hexdigest()


@contextmanager
def _begun(out: Path, job: dict[str, Any]) -> Iterator[None]:
    """The folder `out` for one process, and for one pack. Raises DataError."""
    name, unfinished = escape_name(out), out / UNFINISHED
    try:
        out.mkdir(parents=True, exist_ok=True)
        handle = os.open(out, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise DataError(f"Cannot pack into {name}: {error.strerror}.") from None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if unfinished.exists():
            if json.loads(read_text(unfinished)) != job:
                raise DataError(
                    f"{name} holds a pack of other photos, or with other options, that was "
                    "stopped. Run it again as it was, or remove the folder."
                )
        elif (out / FOLDER).exists():
            raise DataError(f"{name} is packed already. Choose another folder, or remove it.")
        elif os.listdir(out):
            raise DataError(f"{name} is not empty. Choose another folder.")
        else:
            write_text(unfinished, json.dumps(job) + "\n")
        yield
    except BlockingIOError:
        raise DataError(f"Another process is packing into {name}.") from None
    finally:
        os.close(handle)


def _write_shards(
    out: Path, samples: Samples, job: dict[str, Any], emit: Emit
) -> list[tuple[Shard, Members]]:
    """All shards, each with its photos; those that are there already are read alone."""
    shards: list[tuple[Shard, Members]] = []
    order, done = _order(len(samples)), 0
    while (file := out / shard_name(len(shards))).exists():
        shards.append(read_shard(file))
        done = int(np.flatnonzero(order == shards[-1][1].number[-1])[0]) + 1
        emit(Progress("packing", done, len(samples)))
    if shards:
        emit(Note(f"{done:,} of {len(samples):,} photos are packed already"))
    left = _readable(samples, order[done:].tolist(), job, emit)
    photo = next(left, None)
    while photo is not None:
        file = out / shard_name(len(shards))
        with new_shard(file) as tar:
            while photo and not (tar.offset and tar.offset + len(photo[1]) > job["shard_bytes"]):
                row, content = photo
                add(tar, row, content, label=samples.labels[row], name=samples.name(row))
                photo = next(left, None)
        shards.append(read_shard(file))
    if not shards:
        raise DataError(f"None of the {len(samples)} photos can be read.")
    return shards


def _readable(
    samples: Samples, rows: Sequence[int], job: dict[str, Any], emit: Emit
) -> Iterator[tuple[int, bytes]]:
    """Row and content of each photo, the last `rows` of a pack. Raises DataError for one that
    cannot be read, unless it is to be left out."""

    def prepare(row: int) -> bytes | ImageError:
        try:
            if job["size"] is None:
                return samples.read(row)
            png = BytesIO()
            Image.fromarray(samples.load(row, job["size"], job["resize"])).save(png, "png")
            return png.getvalue()
        except ImageError as error:
            return error

    done = len(samples) - len(rows)
    for row, content in zip(rows, in_order(prepare, rows), strict=True):
        done += 1
        emit(Progress("packing", done, len(samples)))
        if not isinstance(content, ImageError):
            yield row, content
        elif job["skip_bad"]:
            emit(Warned(f"Left out: {content}"))
        else:
            raise DataError(
                f"{content} Or leave out such photos: `data.skip_bad = true`, in a new folder. "
                "`kvgg data check` finds them all."
            )
