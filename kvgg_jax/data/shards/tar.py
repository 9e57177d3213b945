"""One shard: a tar file in WebDataset's layout, `000000012.jpg` and `000000012.cls` of photo 12."""

from __future__ import annotations

import hashlib
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from kvgg_jax.core.errors import DataError
from kvgg_jax.core.files import digest, flush
from kvgg_jax.core.text import escape_name
from kvgg_jax.data.decode.file_types import HEAD, check_kind

PATTERN = "shard-*.tar"
LABEL = ".cls"  # what WebDataset calls the number of a class
_SUFFIXES = {"JPEG": ".jpg", "TIFF": ".tif"}  # others are the kind in lower case


class Shard(NamedTuple):
    """What an index says of one shard: its file, and the SHA-256 of all of it."""

    name: str
    bytes: int
    sha256: str


class Members(NamedTuple):
    """The photos of one shard: their numbers, places in bytes, and SHA-256 uint8 [photos, 32]."""

    number: NDArray[np.int64]
    offset: NDArray[np.int64]
    length: NDArray[np.int64]
    sha256: NDArray[np.uint8]


def shard_name(number: int) -> str:
    """That of the file of shard `number`."""
    return PATTERN.replace("*", f"{number:06}")


@contextmanager
def new_shard(file: Path) -> Iterator[tarfile.TarFile]:
    """An archive to `add` to; the file has its name once it is whole and on the disk."""
    temporary = file.with_name(f".{file.name}.tmp")
    try:
        with tarfile.open(temporary, "w", format=tarfile.USTAR_FORMAT) as tar:
            yield tar
        flush(temporary)
        temporary.replace(file)
    finally:
        temporary.unlink(missing_ok=True)
    flush(file.parent)


def add(tar: tarfile.TarFile, number: int, content: bytes, *, label: int, name: str) -> None:
    """Write a photo and its class; the bytes depend on nothing else. ImageError has `name`."""
    kind = check_kind(name, content[:HEAD])
    suffix = _SUFFIXES.get(kind, f".{kind.lower()}")
    for end, data in ((suffix, content), (LABEL, str(label).encode())):
        member = tarfile.TarInfo(f"{number:09}{end}")
        member.size = len(data)
        tar.addfile(member, BytesIO(data))
    tar.members.clear()  # type: ignore[attr-defined]  # or it remembers all


def read_shard(file: Path) -> tuple[Shard, Members]:
    """What is in a shard, all of which is read. Raises DataError where it is no whole archive."""
    rows: list[tuple[int, int, int]] = []
    digests = bytearray()
    try:
        shard = Shard(file.name, file.stat().st_size, digest(file))
        with tarfile.open(file, "r:") as tar:
            while member := tar.next():
                tar.members.clear()  # type: ignore[attr-defined]
                if not member.name.endswith(LABEL):
                    place = int(member.name.partition(".")[0])
                    rows.append((place, member.offset_data, member.size))
                    content = tar.extractfile(member)
                    digests += hashlib.sha256(content.read() if content else b"").digest()
    except (tarfile.TarError, ValueError, OSError) as error:
        raise DataError(f"{escape_name(file)} is no shard of this program ({error}).") from None
    number, offset, length = np.array(rows, np.int64).reshape(-1, 3).T
    sha256 = np.frombuffer(bytes(digests), np.uint8).reshape(-1, 32)
    return shard, Members(number, offset, length, sha256)
