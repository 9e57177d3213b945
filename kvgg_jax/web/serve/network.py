"""A run's network, or those of folds, made ready to answer: compiled for a few batch sizes.

It loads neither TensorFlow nor Keras.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from kvgg_jax.core.events import Emit, ignore
from kvgg_jax.core.state import empty_batch
from kvgg_jax.inference.averaging import mirrored
from kvgg_jax.inference.certainty import calibrations_of, familiarity, temperatures_of
from kvgg_jax.inference.classifier import Classifier
from kvgg_jax.inference.embedding import Vector
from kvgg_jax.inference.gradients import GradCamStep, make_grad_cam_step
from kvgg_jax.inference.known_photos import with_distances
from kvgg_jax.inference.prediction import Prediction, ranked
from kvgg_jax.inference.temperature import calibrated, threshold
from kvgg_jax.models.compile import compile_step

InputImage = NDArray[np.uint8]


View = tuple[NDArray[np.floating], NDArray[np.floating]]
"""Probabilities [batch, classes], heat [batch, h, w]."""


class Seen(NamedTuple):
    """What is computed for one image."""

    probabilities: NDArray[np.floating]
    """[classes], calibrated if the run is."""
    heat: NDArray[np.float32]
    """Grad-CAM [h, w] of the most probable class, 0 or more, as fine as the last features; of
    several networks, the mean of those that find this class."""
    embedding: Vector
    """What the last layer of the first network gets."""
    distance: float | None = None
    """From the known photos, if the run has kept them."""


class Network:
    """Classifies up to `most` images at once; `compile` comes first, and settles `sizes`.

    A bfloat16 run has one size, that of its evaluation: another would round differently from
    `predict`.
    """

    def __init__(
        self,
        members: Sequence[Classifier],
        *,
        most: int,
        raw: bool = False,
        tta: bool = False,
        unsure_below: float | None = None,
        unknown_below: float | None = None,
        emit: Emit = ignore,
    ) -> None:
        self.members, self.tta = members, tta
        self.calibrations = calibrations_of(members, raw=raw, emit=emit)
        self.unsure_below = threshold(self.temperatures, unsure_below, emit)
        self.known, self.typicality = familiarity(members, unknown_below, emit)
        train = self.classifier.config.train
        self.sizes = sizes_up_to(most) if train.precision == "float32" else (train.part_size,)
        self._steps: dict[int, GradCamStep] = {}

    @property
    def classifier(self) -> Classifier:
        """The first network: what is asked of it, all have in common."""
        return self.members[0]

    @property
    def name(self) -> str:
        """Of the run, or of the folder of its folds."""
        run = self.classifier.run.path.resolve()
        return run.name if len(self.members) == 1 else run.parent.name

    @property
    def temperatures(self) -> tuple[float, ...]:
        """One per network; none where one is not calibrated."""
        return temperatures_of(self.calibrations)

    @property
    def most(self) -> int:
        """Images that can be classified at once."""
        return self.sizes[-1]

    def compile(
        self,
        *,
        emit: Emit = ignore,
        stopped: Callable[[], bool] = lambda: False,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        """One program per size, run and timed; between two of them `stopped` can end it.

        A size that takes no less time per image than a smaller one is left out: on a CPU that one
        large image keeps busy, it would only make the first ones wait for the last.
        """
        config, weights = self.classifier.config, self.classifier.weights
        function = make_grad_cam_step(config.model, precision=config.train.precision)
        best = math.inf
        for size in self.sizes:
            if stopped():
                return
            example = empty_batch(size, self.classifier.image_size).images
            what = f"{size}-photo prediction"
            step = compile_step(what, function, *weights, example, emit=emit)
            for _ in range(2):  # the first time is not that of the others
                started = clock()
                np.asarray(step(*weights, example)[0])
                each = (clock() - started) / size
            if each < best:
                self._steps[size], best = step, each
        self.sizes = tuple(self._steps)

    def __call__(self, asked: Sequence[InputImage]) -> list[Seen]:
        """For uint8 images [size, size, 3], 1 to `most`: the batch is padded with black ones."""
        count = len(asked)
        size = next(size for size in self.sizes if size >= count)
        images = np.zeros((size, *asked[0].shape), np.uint8)
        images[:count] = asked
        views, embeddings = self._look(self._steps[size], images)
        mean, heat = mean_of_views(views)
        rows = with_distances(mean, embeddings, self.known).rows()[:count]
        seen = zip(rows, heat[:count], embeddings[:count], strict=True)
        return [Seen(own, layer, vector, far) for (own, far), layer, vector in seen]

    def _look(self, step: GradCamStep, images: InputImage) -> tuple[list[View], Vector]:
        """By each network, and with `tta` at the mirror images too; the first one's embeddings."""
        views, vectors = [], []
        for one, calibration in zip(self.members, self.calibrations, strict=True):
            own, heat, embeddings = step(*one.weights, images)
            views.append((calibrated(own, calibration), np.asarray(heat)))
            vectors.append(embeddings)
            if self.tta:
                own, heat, _ = step(*one.weights, mirrored(images))
                views.append((calibrated(own, calibration), mirrored(np.asarray(heat))))
        return views, np.asarray(vectors[0])

    def prediction(self, name: str, seen: Seen) -> Prediction:
        """As `predict` gives it for a file."""
        return ranked(
            Path(name),
            seen.probabilities,
            seen.distance,
            classes=self.classifier.classes,
            calibrated=bool(self.temperatures),
            unsure_below=self.unsure_below,
            typicality=self.typicality,
        )


def mean_of_views(views: Sequence[View]) -> View:
    """The mean probabilities, and of the heatmaps those of the class that this finds."""
    if len(views) == 1:
        return views[0]
    shares, heats = map(np.array, zip(*views, strict=True))
    mean = shares.mean(axis=0)
    agree = (shares.argmax(axis=-1) == mean.argmax(axis=-1))[..., None, None]
    return mean, (heats * agree).sum(axis=0) / np.maximum(agree.sum(axis=0), 1)


def sizes_up_to(most: int) -> tuple[int, ...]:
    """1, 2, 4 ... and `most`: no batch is padded to more than twice its images."""
    return (*(2**power for power in range((most - 1).bit_length())), most)
