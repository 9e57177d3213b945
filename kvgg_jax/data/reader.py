"""Every file is decoded before training, so that a bad one is known before the first step."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kvgg_jax.core.errors import DataError, ImageError, OutOfMemory
from kvgg_jax.core.events import Emit, Note, Progress, Warned, ignore
from kvgg_jax.core.places import is_missing
from kvgg_jax.core.tables.data import Resize
from kvgg_jax.core.text import escape_name
from kvgg_jax.data.cache import Chosen, Images, OnDisk, Undecoded, choose, gib, in_memory, sha256
from kvgg_jax.data.columns import Digests
from kvgg_jax.data.samples import Samples
from kvgg_jax.data.source import in_order, threads_for

SHOWN = 10  # bad files named in one message


@dataclass(frozen=True, slots=True)
class DecodedImages:
    """Samples with their pixels: uint8 [count, size, size, 3], a quarter of float32's memory."""

    samples: Samples
    images: Images
    bad: tuple[ImageError, ...] = ()
    known: Digests | None = None
    """SHA-256 of each image's pixels, when `read` has made them."""
    larger: DecodedImages | None = None
    """Those for training once more, with more pixels a side, where random crops are cut."""

    def rows(self, part: Samples) -> NDArray[np.int64]:
        """Where the images of `part` are, in its order; those left out as bad are not."""
        return self.samples.rows(part)

    def digests(self) -> Digests:
        """SHA-256 of the pixels of each image, in hexadecimal."""
        if self.known is not None:
            return self.known
        digests = Digests.blank(len(self.samples))
        for row in range(len(digests)):
            digests.put(row, sha256(self.images[np.array([row])]))
        return digests


def read(
    samples: Samples,
    size: int,
    resize: Resize = "squash",
    *,
    skip_bad: bool = False,
    cache: str = "memory",
    folder: Path = Path(),
    emit: Emit = ignore,
) -> DecodedImages:
    """Decode all samples to `size` pixels a side, on all cores, and keep them as `cache` says.

    `resize` is how a photo becomes a square, `data.resize`.
    `cache` is memory, disk (in `folder`), none, or auto, which takes what there is room for.
    Raises DataError naming the unreadable files, unless `skip_bad` leaves them out, each with a
    Warned event.
    """
    digests = Digests.blank(len(samples))
    images = _place((len(samples), size, size, 3), samples, digests, cache, folder, resize, emit)

    def read_one(index: int) -> ImageError | None:
        try:
            image = samples.load(index, size, resize)
        except ImageError as error:
            return error
        images[index] = image
        digests.put(index, sha256(image))
        return None

    bad: dict[int, ImageError] = {}
    rows = range(len(samples))
    for row, error in enumerate(in_order(read_one, rows, threads=threads_for(samples.root))):
        if error is not None:
            bad[row] = error
        emit(Progress("reading", row + 1, len(samples)))
    errors = tuple(bad.values())
    if not errors:
        return DecodedImages(samples, images, (), digests)
    if is_missing(samples.root):
        raise DataError(
            f"{escape_name(samples.root)} is not there any more. Put the folder back, or name the "
            "one that holds its photos now: `data.dir`."
        )
    if not skip_bad:
        raise DataError(_name_bad(errors, len(samples)))
    if len(errors) == len(samples):
        raise DataError(f"None of the {len(samples)} images in {samples.root} can be read.")
    for error in errors:
        emit(Warned(f"Left out: {error}"))
    good = np.delete(np.arange(len(samples)), list(bad))
    kept = Chosen(images, good)  # a copy would take the memory twice
    return DecodedImages(samples.take(good), kept, errors, digests.take(good))


def _place(
    shape: tuple[int, ...],
    samples: Samples,
    digests: Digests,
    cache: str,
    folder: Path,
    resize: Resize,
    emit: Emit,
) -> NDArray[np.uint8] | OnDisk | Undecoded:
    if cache == "auto":
        cache, note = choose(math.prod(shape), folder)
        if note:
            emit(Note(note))
    if cache == "disk":
        return OnDisk(shape, folder)
    if cache == "none":
        return Undecoded(shape, samples, digests, resize)
    try:
        return in_memory(shape)
    except MemoryError:
        raise OutOfMemory(
            f"{shape[0]:,} decoded photos take {gib(math.prod(shape))}, which memory does not "
            "hold. Keep them in a file: `data.cache = disk`."
        ) from None


def _name_bad(errors: tuple[ImageError, ...], count: int) -> str:
    lines = [f"{len(errors)} of {count} images cannot be read:"]
    lines += [f"  {error}" for error in errors[:SHOWN]]
    lines += [f"  and {len(errors) - SHOWN} more"] * (len(errors) > SHOWN)
    or_skip = ", or leave them out: `data.skip_bad = true`" if len(errors) < count else ""
    return "\n".join([*lines, f"Remove or replace them{or_skip}."])


def fingerprint(decoded: DecodedImages) -> str:
    """SHA-256 over keys, classes and pixels as the network sees them, in any order of reading."""
    digest = hashlib.sha256()
    samples, pixels = decoded.samples, decoded.digests()
    for row in samples.by_path():
        name = samples.classes[samples.labels[row]]
        line = f"{samples.paths[row]}\0{name}\0{pixels[row]}\n"
        digest.update(line.encode(errors="surrogateescape"))
    return digest.hexdigest()
