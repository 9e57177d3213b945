"""`similar`: the training photos that are most like a photo, as its network sees them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kvgg_jax.core.errors import DataError, RunError
from kvgg_jax.core.events import Emit, Warned, ignore
from kvgg_jax.core.places import Place
from kvgg_jax.core.text import escape_name
from kvgg_jax.data.decode.image import Read, read_file
from kvgg_jax.data.samples import Samples, reader
from kvgg_jax.inference.classifier import Classifier, classifier_of
from kvgg_jax.inference.embedding import EmbedFiles, make_embedder
from kvgg_jax.inference.prediction import Prediction, find_files
from kvgg_jax.runs import catalog
from kvgg_jax.runs.arrays import Arrays, read_arrays, write_arrays

FILE = "embeddings.npz"  # in the run folder
COUNT = 5
SMALL = 1e-6  # in place of a deviation or a length of 0


@dataclass(frozen=True, slots=True)
class Neighbor:
    """A training photo that is like another photo."""

    path: str
    """What messages call it."""
    label: str
    """Its class, as it was labelled."""
    similarity: float
    """Cosine of the two standardized embeddings, in [-1, 1]; 1 for the same photo."""

    def to_json(self) -> dict[str, Any]:
        """For `--json`."""
        return {"path": self.path, "class": self.label, "similarity": self.similarity}


@dataclass(frozen=True, slots=True)
class Similar:
    """A photo, what it is predicted as, and the training photos that are most like it."""

    prediction: Prediction
    neighbors: tuple[Neighbor, ...] = ()
    """The most similar one first; none where `prediction` is an error."""

    def to_json(self, *, top: int = 1) -> dict[str, Any]:
        """As `Prediction.to_json`, with `"similar": [...]`."""
        found = [one.to_json() for one in self.neighbors]
        return {**self.prediction.to_json(top=top), "similar": found}


def similar(
    paths: Iterable[str | Place] | str | Path,
    run: str | Path | Classifier | None = None,
    *,
    count: int = COUNT,
    batch_size: int | None = None,
    read: Read = read_file,
    out: str | Path = catalog.OUT,
    emit: Emit = ignore,
) -> Iterator[Similar]:
    """Find the `count` training photos most like each file, one by one.

    The first call embeds all training photos and keeps that in the run, as `embeddings.npz`. A file
    that cannot be read has an error in its prediction. Raises RunError for the run, DataError where
    there is nothing to look at or no training photo is left, ValueError for a count below 1.
    """
    if count < 1:
        raise ValueError(f"count {count}: ask for one neighbor at least")
    files, classifier = find_files(paths), classifier_of(run, out=out, emit=emit)
    return _each(files, classifier, count, batch_size, read, emit)


def _each(
    files: Sequence[Place],
    classifier: Classifier,
    count: int,
    batch_size: int | None,
    read: Read,
    emit: Emit,
) -> Iterator[Similar]:
    def make(photos: int) -> EmbedFiles:
        return make_embedder(classifier, batch=classifier.batch(photos, batch_size), emit=emit)

    known = _kept(classifier)
    if known is not None:
        embed_files = make(len(files))
    else:
        train = classifier.run.split().train
        embed_files = make(max(len(files), len(train)))  # one program for both
        known = _embed_all(train, classifier, embed_files, emit)
    for one in embed_files(files, read):
        near = () if one.vector is None else known.nearest(one.vector, count)
        yield Similar(one.prediction, near)


@dataclass(frozen=True)
class TrainingPhotos:
    """The photos that a network was trained on, as it sees them."""

    paths: tuple[str, ...]
    labels: tuple[str, ...]
    vectors: NDArray[np.float32]
    """Embeddings, [count, width]."""

    def nearest(self, vector: NDArray[np.float32], count: int) -> tuple[Neighbor, ...]:
        """The `count` most similar ones; of two alike, the first comes first."""
        mean, scale, units = self._standardized
        cosines = np.minimum(units @ _unit((vector - mean) / scale), 1.0)  # but for a rounding
        order = np.argsort(-cosines, kind="stable")[:count]
        return tuple(Neighbor(self.paths[k], self.labels[k], float(cosines[k])) for k in order)

    @cached_property
    def _standardized(self) -> tuple[NDArray[np.float32], ...]:
        mean, scale = self.vectors.mean(axis=0), self.vectors.std(axis=0) + SMALL
        return mean, scale, _unit((self.vectors - mean) / scale)


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """The same directions at length 1."""
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.asarray(vectors / np.maximum(length, SMALL), np.float32)


def training_photos(classifier: Classifier, emit: Emit = ignore) -> TrainingPhotos:
    """Those of a run, kept in its folder for its weights. Raises RunError and DataError."""
    if (kept := _kept(classifier)) is not None:
        return kept
    train = classifier.run.split().train
    batch = classifier.batch(len(train), None)
    return _embed_all(train, classifier, make_embedder(classifier, batch=batch, emit=emit), emit)


def _embed_all(
    train: Samples, classifier: Classifier, embed_files: EmbedFiles, emit: Emit
) -> TrainingPhotos:
    found = list(embed_files(train.files(), reader(train)))
    classes = [train.classes[label] for label in train.labels]
    good = [
        (str(one.path), name, one.vector)
        for one, name in zip(found, classes, strict=True)
        if one.vector is not None
    ]
    run, missing = escape_name(classifier.run.path), len(found) - len(good)
    if not good:
        raise DataError(
            f"No photo that {run} was trained on can be read, so none can be shown. "
            f"{found[0].prediction.error}"
        )
    paths, labels, vectors = zip(*good, strict=True)
    photos = TrainingPhotos(paths, labels, np.stack(vectors))
    if missing:
        emit(Warned(f"{missing:,} of the {len(found):,} training photos cannot be read any more"))
    else:
        _keep(photos, classifier, emit)
    return photos


def _keep(photos: TrainingPhotos, classifier: Classifier, emit: Emit) -> None:
    texts = {"paths": np.array(photos.paths), "labels": np.array(photos.labels)}
    arrays = {**texts, "vectors": photos.vectors}
    try:
        write_arrays(classifier.run.path / FILE, classifier.state, arrays)
    except RunError as error:
        emit(Warned(f"{error} The training photos are embedded again next time."))


def _kept(classifier: Classifier) -> TrainingPhotos | None:
    """What `_keep` has written for the same weights. Raises RunError for a damaged file."""
    again = "Remove it: it will be made again."
    kept = read_arrays(classifier.run.path / FILE, _built, again=again)
    return kept[1] if kept is not None and kept[0] == classifier.state else None


def _built(kept: Arrays) -> TrainingPhotos:
    paths, labels = (tuple(kept[name].tolist()) for name in ("paths", "labels"))
    return TrainingPhotos(paths, labels, kept["vectors"])
