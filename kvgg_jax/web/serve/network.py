"""A run's network made ready to answer: compiled for a few fixed batch sizes.

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
from kvgg_jax.inference.classifier import Classifier, certainty
from kvgg_jax.inference.gradients import make_grad_cam_step
from kvgg_jax.inference.prediction import Prediction, ranked
from kvgg_jax.inference.temperature import apply_temperature
from kvgg_jax.models.compile import compile_step
from kvgg_jax.models.functional import PredictStep

InputImage = NDArray[np.uint8]


class Seen(NamedTuple):
    """What the network computes for one image."""

    probabilities: NDArray[np.floating]
    """[classes], calibrated if the run is."""
    heat: NDArray[np.float32]
    """Grad-CAM [h, w] of the most probable class, 0 or more, as fine as the last features."""


class Network:
    """Classifies up to `most` images at once; `compile` comes first, and settles `sizes`.

    A bfloat16 run has one size, that of its evaluation: another would round differently from
    `predict`.
    """

    def __init__(
        self,
        classifier: Classifier,
        *,
        most: int,
        raw: bool = False,
        unsure_below: float | None = None,
        emit: Emit = ignore,
    ) -> None:
        self.classifier = classifier
        self.calibration, self.unsure_below = certainty(
            classifier, raw=raw, unsure_below=unsure_below, emit=emit
        )
        train = classifier.config.train
        self.sizes = sizes_up_to(most) if train.precision == "float32" else (train.part_size,)
        self._steps: dict[int, PredictStep] = {}

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
        probabilities, heat = map(np.asarray, self._steps[size](*self.classifier.weights, images))
        if self.calibration is not None:
            probabilities = apply_temperature(probabilities, self.calibration.temperature)
        return [Seen(*one) for one in zip(probabilities[:count], heat[:count], strict=True)]

    def prediction(self, name: str, seen: Seen) -> Prediction:
        """As `predict` gives it for a file."""
        return ranked(
            Path(name),
            seen.probabilities,
            self.classifier.classes,
            calibrated=self.calibration is not None,
            unsure_below=self.unsure_below,
        )


def sizes_up_to(most: int) -> tuple[int, ...]:
    """1, 2, 4 ... and `most`: no batch is padded to more than twice its images."""
    return (*(2**power for power in range((most - 1).bit_length())), most)
