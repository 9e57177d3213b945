"""How sharp and how bright photos are, and which of them stand out in their class."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image

SIDE = 128  # pixels of the longer side at which sharpness is measured, whatever the camera
FAR = 3.5  # robust standard deviations (Iglewicz & Hoaglin 1993, "How to Detect Outliers")
LEAST = 0.05  # a spread counts as 5 % at least, where all photos are nearly alike


def sharpness(image: NDArray[np.uint8]) -> float:
    """Variance of the Laplacian of a decoded image, uint8 [height, width, 3]; low where it is
    blurred (Pech-Pacheco et al. 2000)."""
    gray = Image.fromarray(image).convert("L")
    gray.thumbnail((SIDE, SIDE), Image.Resampling.BOX)
    pixels = np.pad(np.asarray(gray, np.float64), 1, mode="edge")
    around = pixels[:-2, 1:-1] + pixels[2:, 1:-1] + pixels[1:-1, :-2] + pixels[1:-1, 2:]
    return float((around - 4 * pixels[1:-1, 1:-1]).var())


def class_medians(values: ArrayLike, labels: ArrayLike) -> NDArray[np.float64]:
    """For each photo, the median of its class: float64 [count]."""
    found, of = np.asarray(values, np.float64), np.asarray(labels)
    medians = np.zeros(len(found))
    for label in np.unique(of):
        medians[of == label] = np.median(found[of == label])
    return medians


def stand_out(
    values: ArrayLike, labels: ArrayLike, *, end: Literal["low", "high"]
) -> NDArray[np.bool_]:
    """Which photos are far below, or above, the median of their class: bool [count].

    `values` [count] are at least 0, and are compared by their logarithms. Far is `FAR` times the
    median absolute deviation, scaled to a standard deviation.
    """
    found = np.log(np.maximum(np.asarray(values, np.float64), 1e-6))
    away = found - class_medians(found, labels)
    spread = 1.4826 * class_medians(np.abs(away), labels)
    return (away if end == "high" else -away) > FAR * np.maximum(spread, LEAST)
