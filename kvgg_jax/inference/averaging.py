"""Probabilities averaged: over several networks, and over a photo and its mirror image.

The mean of the probabilities of several networks has a lower cross-entropy than these have on
average (Jensen's inequality), and is mostly right more often (Lakshminarayanan et al. 2017).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from kvgg_jax.inference.prediction import Outputs, PredictFunction

Number = TypeVar("Number", bound=np.generic)


def mean_of(networks: Sequence[PredictFunction]) -> PredictFunction:
    """The mean of what networks give, with the distances of the first; of one, its own, to the
    bit."""
    if len(networks) == 1:
        return networks[0]

    def mean(images: NDArray[np.uint8]) -> Outputs:
        found = [predict(images) for predict in networks]
        return Outputs(np.mean([one.probabilities for one in found], axis=0), found[0].distances)

    return mean


def with_mirror_images(predict: PredictFunction) -> PredictFunction:
    """The mean for each image and its mirror image, left and right exchanged."""
    return mean_of([predict, lambda images: predict(mirrored(images))])


def mirrored(images: NDArray[Number]) -> NDArray[Number]:
    """Left and right exchanged: [batch, height, width, ...]."""
    return np.ascontiguousarray(images[:, :, ::-1])
