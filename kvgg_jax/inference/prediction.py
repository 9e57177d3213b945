"""What `predict` gives for a photo, and the way of files through any network."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from kvgg_jax.core.errors import DataError, ImageError, UsageError
from kvgg_jax.core.events import Emit, Progress
from kvgg_jax.core.places import Place, Url
from kvgg_jax.core.tables.data import Resize
from kvgg_jax.data.decode.image import Read, load_bytes, read_file
from kvgg_jax.data.source import in_order, threads_for
from kvgg_jax.data.sources.folder import find_images

MAX_BATCH = 32  # images predicted at once
T = TypeVar("T")


Row = tuple[NDArray[np.floating], float | None]
"""Probabilities [classes] of an image, and its distance."""


class Outputs(NamedTuple):
    """What a network gives for a batch."""

    probabilities: NDArray[np.floating]
    """[batch, classes]."""
    distances: NDArray[np.floating] | None = None
    """From the known photos, [batch]; None where the network does not measure that."""

    def rows(self) -> list[Row]:
        """Of each image."""
        found = self.probabilities
        distances = [None] * len(found) if self.distances is None else self.distances.tolist()
        return list(zip(found, distances, strict=True))


PredictFunction = Callable[[NDArray[np.uint8]], Outputs]
"""Of uint8 images [batch, size, size, 3], RGB in 0..255."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """Classes of one file by falling probability; `error` instead when it cannot be read."""

    path: Place
    top: tuple[tuple[str, float], ...] = ()
    error: str | None = None
    calibrated: bool = False
    """Whether the probabilities are at the run's fitted temperature."""
    unsure_below: float | None = None
    typicality: float | None = None
    """Share of the run's validation photos that are as unlike its training photos, in (0, 1]."""
    unknown_below: float | None = None

    @property
    def unknown(self) -> bool:
        """Whether its typicality is below `unknown_below`, where there is one."""
        if self.typicality is None or self.unknown_below is None:
            return False
        return self.typicality < self.unknown_below

    @property
    def unsure(self) -> bool:
        """Whether the most probable class has less than `unsure_below`, where there is one."""
        return self.unsure_below is not None and self.probability < self.unsure_below

    @property
    def label(self) -> str:
        """The most probable class. Raises ImageError for a file that could not be read."""
        return self._first[0]

    @property
    def probability(self) -> float:
        """Of the most probable class, in [0, 1]. Raises ImageError as `label` does."""
        return self._first[1]

    @property
    def _first(self) -> tuple[str, float]:
        if self.error is not None:
            raise ImageError(self.error)
        return self.top[0]

    def to_json(self, *, top: int) -> dict[str, Any]:
        """`{"path", "class", ..., "top": [...]}` of `top` classes; `{"path", "error"}` if bad."""
        if self.error:
            return {"path": str(self.path), "error": self.error}
        return {
            "path": str(self.path),
            "class": self.label,
            "probability": self.probability,
            "calibrated": self.calibrated,
            "unsure": self.unsure,
            "unsure_below": self.unsure_below,
            "unknown": self.unknown,
            "unknown_below": self.unknown_below,
            "typicality": self.typicality,
            "top": [{"class": name, "probability": p} for name, p in self.top[:top]],
        }


@dataclass(frozen=True, slots=True)
class Part:
    """Which of several equal parts of some files, in their order."""

    number: int
    """From 1."""
    count: int

    @classmethod
    def parse(cls, text: str) -> Part:
        """Of `"2/5"`. Raises UsageError."""
        numbers = text.split("/")
        if len(numbers) == 2 and all(n.isascii() and n.isdecimal() for n in numbers):
            part = cls(*map(int, numbers))
            if 1 <= part.number <= part.count:
                return part
        raise UsageError(f"--part {text}: give which part and how many, such as 2/5.")

    def of(self, files: Sequence[Place]) -> Sequence[Place]:
        """The files of this part; those of all parts, one after the other, are all files."""
        ends = [len(files) * n // self.count for n in (self.number - 1, self.number)]
        return files[slice(*ends)]


WHOLE = Part(1, 1)


def find_files(paths: Iterable[str | Place] | str | Path) -> list[Place]:
    """Files as given, and the images in folders. Raises DataError when there are none."""
    given = [paths] if isinstance(paths, str | Path) else paths
    files = find_images(path if isinstance(path, Url) else Path(path) for path in given)
    if not files:
        raise DataError("No photos to classify: give image files, or folders with images.")
    return files


@dataclass(frozen=True, slots=True)
class Predictor:
    """A network that is ready to classify, and what its outputs mean."""

    predict: PredictFunction
    classes: tuple[str, ...]
    image_size: int
    temperatures: tuple[float, ...] = ()
    """Those that its probabilities are calibrated with, one per network; none for its own."""
    resize: Resize = "squash"
    """How a photo becomes a square."""
    distances: NDArray[np.floating] | None = None
    """Of known photos that training did not see, ascending: [count]."""


@dataclass(frozen=True, slots=True)
class Typicality:
    """What a distance from the known photos means, and from where on a photo is unknown."""

    distances: NDArray[np.floating]
    """Of known photos that training did not see, ascending: [count]."""
    unknown_below: float

    def of(self, distance: float) -> float:
        """Share of those photos, and of this one, that are as far or farther: in (0, 1].

        Of known photos, a share of at most `unknown_below` is below it, however few there were:
        the p-value of Vovk, Gammerman & Shafer 2005, "Algorithmic Learning in a Random World".
        """
        count = len(self.distances)
        farther = count - int(np.searchsorted(self.distances, distance, side="left"))
        return (1 + farther) / (1 + count)


def classify(
    files: Sequence[Place],
    network: Predictor,
    *,
    batch: int,
    unsure_below: float | None = None,
    typicality: Typicality | None = None,
    after: int = 0,
    read: Read = read_file,
    emit: Emit,
) -> Iterator[Prediction]:
    """Predict the classes of `files`, as `each_output` has them.

    A file that cannot be read gives a Prediction with `error`.
    """
    rank = partial(
        ranked,
        classes=network.classes,
        calibrated=bool(network.temperatures),
        unsure_below=unsure_below,
        typicality=typicality,
    )
    load = partial(load_photo, size=network.image_size, resize=network.resize, read=read)
    outputs = each_output(
        files,
        lambda images: network.predict(images).rows(),
        load,
        size=network.image_size,
        batch=batch,
        after=after,
        emit=emit,
    )
    for path, found in outputs:
        if isinstance(found, ImageError):
            yield Prediction(path, error=str(found))
        else:
            yield rank(path, *found)


def each_output(
    files: Sequence[Place],
    compute: Callable[[NDArray[np.uint8]], Sequence[T]],
    load: Callable[[Place], NDArray[np.uint8] | ImageError],
    *,
    size: int,
    batch: int,
    after: int = 0,
    stage: str = "predicting",
    emit: Emit,
) -> Iterator[tuple[Place, T | ImageError]]:
    """Each file, and what `compute` gives for its row of a batch, or why it cannot be read.

    The last batch is filled up with black. The next photos are decoded meanwhile. The first `after`
    files are left out; batches are cut as if they were not, so that no digit depends on it.
    """
    whole = after // batch * batch
    loaded = in_order(load, files[whole:], threads=threads_for(files[0]))
    for start in range(whole, len(files), batch):
        chunk = files[start : start + batch]
        squares = list(islice(loaded, len(chunk)))
        images = np.zeros((batch, size, size, 3), np.uint8)
        for row, square in enumerate(squares):
            images[row] = 0 if isinstance(square, ImageError) else square
        rows = compute(images)
        emit(Progress(stage, start + len(chunk), len(files)))
        for row in range(max(after - start, 0), len(chunk)):
            square = squares[row]
            yield chunk[row], square if isinstance(square, ImageError) else rows[row]


def load_photo(
    path: Place, *, size: int, resize: Resize, read: Read
) -> NDArray[np.uint8] | ImageError:
    """Its square, uint8 [size, size, 3], or why it cannot be read."""
    try:
        return load_bytes(read(path), size, resize, name=str(path))
    except ImageError as error:
        return error


def ranked(
    path: Place,
    probabilities: NDArray[np.floating],
    distance: float | None = None,
    *,
    classes: tuple[str, ...],
    calibrated: bool,
    unsure_below: float | None,
    typicality: Typicality | None = None,
) -> Prediction:
    """The classes by falling probability; of two alike, the first comes first."""
    order = np.argsort(-probabilities, kind="stable")
    top = tuple((classes[k], float(probabilities[k])) for k in order)
    found = Prediction(path, top, calibrated=calibrated, unsure_below=unsure_below)
    if typicality is None or distance is None:
        return found
    share = typicality.of(distance)
    return replace(found, typicality=share, unknown_below=typicality.unknown_below)


Labels = NDArray[np.integer]
"""[count], each an index into the classes."""


Probabilities = NDArray[np.floating]
"""[count, classes], rows adding up to 1."""
