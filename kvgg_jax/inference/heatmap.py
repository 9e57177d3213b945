"""A heatmap over its image, as pixels and as a PNG file."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from kvgg_jax.core.tables.data import Resize
from kvgg_jax.data.decode.resize import box_of, scaled
from kvgg_jax.runs.charts import plain, save

COVER = 0.75  # of the image, where the heat is greatest
BRIGHTEST = 99.5  # percentile of the heat that has full color: single pixels stand out too far
ONE_SIGN, TWO_SIGNS = "inferno", "RdBu_r"  # readable by the color-blind


def enlarge(heat: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    """`heat` [h, w] as [size, size], smooth in between."""
    return np.array(Image.fromarray(heat).resize((size, size), Image.Resampling.BILINEAR))


def spread(heat: NDArray[np.float32], size: int, *, cell: int | None) -> NDArray[np.float32]:
    """Grad-CAM [h, w] over its image, [size, size]: `cell` pixels each way a value, smooth in
    between; what the network has left out at the sides is 0. None: over the whole image."""
    side = cell * len(heat) if cell else size
    return np.pad(enlarge(heat, side), (0, size - side))


def overlay(image: NDArray[np.uint8], heat: NDArray[np.float32]) -> NDArray[np.uint8]:
    """uint8 [size, size, 3] with `heat` [size, size] over it: the stronger, the denser.

    Red is for and blue against, where `heat` has both signs.
    """
    cover = COVER * np.abs(_scaled(heat))[..., None]
    return np.rint(image * (1 - cover) + colored(heat) * cover).astype(np.uint8)


def layer(heat: NDArray[np.float32]) -> NDArray[np.uint8]:
    """What `overlay` lays over an image, with its opacity: uint8 [size, size, 4], RGBA."""
    opacity = np.rint(255 * COVER * np.abs(_scaled(heat)))[..., None].astype(np.uint8)
    return np.concatenate([colored(heat), opacity], axis=-1)


def over_photo(
    pixels: NDArray[np.uint8], photo: tuple[int, int], resize: Resize
) -> NDArray[np.uint8]:
    """The `layer` of a network's square as one to stretch over the whole photo.

    `photo` is its width and height. Clear where the network has not seen it, and without what was
    padded: uint8 [h, w, 4] of its shape, at most as large as the square; for "squash" the square.
    """
    size = len(pixels)
    whole = (size, size) if resize == "squash" else scaled(photo, size, "pad")
    width, height = (max(round(side), 1) for side in whole)
    box = box_of(photo, size, resize)
    extent = Image.Transform.EXTENT
    return np.array(Image.fromarray(pixels).transform((width, height), extent, box))


def colored(heat: NDArray[np.float32]) -> NDArray[np.uint8]:
    """`heat` [size, size] as colors, uint8 [size, size, 3]; a map without any is all zero."""
    scaled = _scaled(heat)
    signed = bool((heat < 0).any())
    colors = mpl.colormaps[TWO_SIGNS if signed else ONE_SIGN]
    return colors((scaled + 1) / 2 if signed else scaled, bytes=True)[..., :3]


def _scaled(heat: NDArray[np.float32]) -> NDArray[np.float64]:
    """To -1..1, with 0 left where it is."""
    size = np.abs(heat.astype(np.float64))
    top = np.percentile(size, BRIGHTEST) or size.max() or 1.0
    return np.clip(heat / top, -1, 1)


def draw_explanation(
    image: NDArray[np.uint8], heat: NDArray[np.float32], file: Path, *, title: str, method: str
) -> None:
    """The image, its heatmap, and both, side by side under `title`. Raises RunError."""
    figure = Figure(figsize=(9, 3.5), layout="constrained")
    figure.suptitle(plain(title))
    panels = (("photo", image), (method, colored(heat)), ("both", overlay(image, heat)))
    for axes, (name, pixels) in zip(figure.subplots(1, 3), panels, strict=True):
        axes.imshow(pixels, interpolation="nearest")
        axes.set_title(name, fontsize=9)
        axes.axis("off")
    save(figure, file)
