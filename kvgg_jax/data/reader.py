"""Every file is decoded once, before training: a bad one is known before the first step."""

from __future__ import annotations

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kvgg_jax.data.folder import Samples
from kvgg_jax.data.image import load
from kvgg_jax.errors import DataError, ImageError
from kvgg_jax.events import Emit, Progress, ignore

SHOWN = 10  # bad files named in one message


@dataclass(frozen=True, slots=True)
class Pictures:
    """Samples with their pixels: uint8 [count, size, size, 3], a quarter of float32's memory."""

    samples: Samples
    images: NDArray[np.uint8]
    bad: tuple[ImageError, ...] = ()

    def rows(self, part: Samples) -> NDArray[np.int64]:
        """Where the pictures of `part` are, in its order; those left out as bad are not."""
        at = {path: row for row, path in enumerate(self.samples.paths)}
        return np.array([at[path] for path in part.paths if path in at], np.int64)


def read(samples: Samples, size: int, *, skip_bad: bool = False, emit: Emit = ignore) -> Pictures:
    """Decode all samples to `size` pixels a side, on all cores.

    Raises DataError naming the unreadable files, unless `skip_bad` leaves them out.
    """
    images = np.empty((len(samples), size, size, 3), np.uint8)
    bad: dict[int, ImageError] = {}

    def read_one(job: tuple[int, Path]) -> None:
        index, path = job
        try:
            images[index] = load(path, size)
        except ImageError as error:
            bad[index] = error

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        try:
            for done, _ in enumerate(pool.map(read_one, enumerate(samples.files())), 1):
                emit(Progress("reading", done, len(samples)))
        except BaseException:
            pool.shutdown(cancel_futures=True)  # Ctrl-C need not wait for the whole folder
            raise
    if not bad:
        return Pictures(samples, images)
    errors = tuple(bad[index] for index in sorted(bad))
    if not skip_bad:
        raise DataError(_name_bad(errors, len(samples)))
    good = [index for index in range(len(samples)) if index not in bad]
    if not good:
        raise DataError(f"None of the {len(samples)} images in {samples.root} can be read.")
    return Pictures(samples.take(good), images[good], errors)


def _name_bad(errors: tuple[ImageError, ...], count: int) -> str:
    lines = [f"  {error}" for error in errors[:SHOWN]]
    if len(errors) > SHOWN:
        lines.append(f"  and {len(errors) - SHOWN} more")
    head = f"{len(errors)} of {count} images cannot be read:"
    tail = "Remove or replace them, or go on without them: --skip-bad."
    return "\n".join([head, *lines, tail])


def fingerprint(pictures: Pictures) -> str:
    """SHA-256 over paths, classes and pixels as the network sees them, in any order of reading."""
    digest = hashlib.sha256()
    samples = pictures.samples
    for row in sorted(range(len(samples)), key=samples.paths.__getitem__):
        name = samples.classes[samples.labels[row]]
        digest.update(f"{samples.paths[row]}\0{name}\0".encode(errors="surrogateescape"))
        digest.update(pictures.images[row].data)
    return digest.hexdigest()
