"""`embed`: what a network makes of photos just before it decides, as vectors. Never TensorFlow."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kvgg_jax.core.errors import ImageError
from kvgg_jax.core.events import Emit, ignore
from kvgg_jax.core.memory import inference_memory_advice
from kvgg_jax.core.places import Place
from kvgg_jax.core.state import empty_batch
from kvgg_jax.data.decode.image import Read, read_file
from kvgg_jax.inference.certainty import certainty, familiarity
from kvgg_jax.inference.classifier import Classifier, classifier_of
from kvgg_jax.inference.known_photos import with_distances
from kvgg_jax.inference.prediction import (
    Prediction,
    Row,
    each_output,
    find_files,
    load_photo,
    ranked,
)
from kvgg_jax.inference.temperature import calibrated
from kvgg_jax.models.compile import compile_step
from kvgg_jax.models.functional import make_embed_step
from kvgg_jax.runs import catalog

Vector = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Embedded:
    """A photo as the last layer of a network gets it; no vector where `prediction` is an error."""

    prediction: Prediction
    vector: Vector | None = None
    """float32 [width]: 512 of the head slim, 4096 of full, the last one of a list."""

    @property
    def path(self) -> Place:
        """The file."""
        return self.prediction.path


EmbedFiles = Callable[[Sequence[Place], Read], Iterator[Embedded]]
"""Files, and what gives their content -> each file embedded, one by one."""


def embed(
    paths: Iterable[str | Place] | str | Path,
    run: str | Path | Classifier | None = None,
    *,
    batch_size: int | None = None,
    read: Read = read_file,
    out: str | Path = catalog.OUT,
    emit: Emit = ignore,
) -> Iterator[Embedded]:
    """Embed files, and the images in folders, by the best weights of a run, one by one.

    The predictions are those of `predict`, a file that cannot be read included. `batch_size` is
    as there; `read` gives the content of a file. Raises RunError for the run, DataError when
    there is nothing to embed.
    """
    files = find_files(paths)
    classifier = classifier_of(run, out=out, emit=emit)
    batch = classifier.batch(len(files), batch_size)
    yield from make_embedder(classifier, batch=batch, emit=emit)(files, read)


def make_embedder(
    classifier: Classifier,
    *,
    batch: int,
    raw: bool = False,
    unsure_below: float | None = None,
    unknown_below: float | None = None,
    emit: Emit,
) -> EmbedFiles:
    """Compiled for so many images at once, for files of several kinds; predictions as `predict`
    gives them."""
    calibration, below = certainty(classifier, raw=raw, unsure_below=unsure_below, emit=emit)
    known, typicality = familiarity([classifier], unknown_below, emit)
    size, config, weights = classifier.image_size, classifier.config, classifier.weights
    function = make_embed_step(config.model, precision=config.train.precision)
    with inference_memory_advice(batch, size):
        step = compile_step(
            "embedding", function, *weights, empty_batch(batch, size).images, emit=emit
        )

    def compute(images: NDArray[np.uint8]) -> list[tuple[Vector, Row]]:
        vectors, own = map(np.asarray, step(*weights, images))
        outputs = with_distances(calibrated(own, calibration), vectors, known)
        return list(zip(vectors, outputs.rows(), strict=True))

    rank = partial(
        ranked,
        classes=classifier.classes,
        calibrated=calibration is not None,
        unsure_below=below,
        typicality=typicality,
    )

    def embed_files(files: Sequence[Place], read: Read) -> Iterator[Embedded]:
        load = partial(load_photo, size=size, resize=classifier.resize, read=read)
        with inference_memory_advice(batch, size):
            outputs = each_output(
                files, compute, load, size=size, batch=batch, stage="embedding", emit=emit
            )
            for path, found in outputs:
                if isinstance(found, ImageError):
                    yield Embedded(Prediction(path, error=str(found)))
                else:
                    vector, row = found
                    yield Embedded(rank(path, *row), vector)

    return embed_files
