"""A drawn stand-in for a folder of photos: coffee-like beans in four roasts, one per image.

Light and white balance vary, so the mean color alone does not separate the roasts. In `_`
functions planes are (pixels, pixels), colors sRGB 0-255, lengths half-sides of the image.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from kvgg_jax.core.errors import DataError
from kvgg_jax.core.events import Emit, Progress, ignore

CLASSES = ("Dark", "Green", "Light", "Medium")
SIZE = 96  # pixels a side of each PNG
PER_CLASS = 100  # images
VERSION = 1  # of the drawing; raise it with any change of a pixel, or caches serve old images
_OVERSAMPLING = 2  # drawn larger, then averaged: clean edges
_GROUNDS = ((222, 220, 220), (206, 206, 208), (216, 208, 196), (204, 208, 214))  # paper, cloth

Array = NDArray[np.floating[Any]]
Planes = tuple[Array, Array, Array]


class _Roast(NamedTuple):
    """Colors from least to most roasted, crease in half-widths of the bean, strengths 0-1."""

    pale: tuple[int, int, int]
    deep: tuple[int, int, int]
    crease: tuple[int, int, int]
    crease_width: float
    oil: float = 0.0  # glossy spots and highlight
    chaff: float = 0.0  # flecks of silver skin
    wrinkles: float = 0.0
    roughness: float = 1.0


_ROASTS = {
    "Dark": _Roast((84, 60, 50), (40, 29, 26), (12, 8, 7), 0.11, oil=1.0),
    "Green": _Roast((190, 190, 138), (146, 144, 94), (96, 90, 54), 0.05, roughness=0.3),
    "Light": _Roast((214, 158, 84), (156, 106, 54), (84, 46, 20), 0.08, chaff=1.0),
    "Medium": _Roast((138, 96, 62), (88, 60, 42), (226, 198, 146), 0.11, wrinkles=1.0),
}


def draw_bean(roast: str, rng: np.random.Generator, *, size: int = SIZE) -> NDArray[np.uint8]:
    """An sRGB bean, (size, size, 3), given by the state of `rng`; `roast` as in `CLASSES`."""
    look, frame, pixels = _ROASTS[roast], _make_frame(rng), size * _OVERSAMPLING
    x, y = np.meshgrid(*2 * [np.linspace(-1, 1, pixels, dtype=np.float32)])
    azimuth, elevation = rng.uniform(0, 2 * np.pi), rng.uniform(0.6, 1.2)
    light = np.array([np.cos(azimuth), np.sin(azimuth), np.tan(elevation)]) * np.cos(elevation)
    along, across, radius = frame(x, y)
    bean = _smooth_step(1 - radius + 0.02 * _noise(rng, pixels, 6), 0.03)
    height, paint, gloss = _make_surface(look, (along, across, radius), rng)
    lit, shine = _shade(height, light)
    surface = paint * lit[..., None] + (gloss * (0.4 * lit + shine))[..., None]
    shadow = _smooth_step(1.02 - frame(x + 0.16 * light[0], y + 0.16 * light[1])[2], 0.22)
    grain = 1 + 0.03 * _noise(rng, pixels, 5) + 0.02 * _noise(rng, pixels, 48)
    shade = grain * (1 - rng.uniform(0.3, 0.65) * shadow)  # shadow falls away from the light
    ground = shade[..., None] * rng.choice(_GROUNDS) * rng.uniform(0.94, 1.03)
    vignette = 1 - rng.uniform(0, 0.15) * (x**2 + y**2) + rng.uniform(-0.1, 0.1) * x
    return _photograph(_mix(ground, surface, bean), vignette, rng)


def write_demo(
    folder: Path,
    *,
    per_class: int = PER_CLASS,
    size: int = SIZE,
    seed: int = 0,
    emit: Emit = ignore,
) -> Path:
    """`folder`, whole or not at all: `per_class` images per class, `<Class>/<class>_000.png` ...

    The same arguments, the same pixels. `DataError` where it holds anything or cannot be written.
    """
    with _explained(folder):
        if folder.exists() and any(folder.iterdir()):
            found = f"{folder} already exists and is not empty."
            raise DataError(f"{found} Choose another folder, or remove it first.")
        folder.parent.mkdir(parents=True, exist_ok=True)  # same disk: the rename needs that
        scratch = tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent)
    with scratch as temporary:
        made = Path(temporary) / "demo"  # not the folder itself, which only its owner may enter
        jobs = [(k, i) for k in range(len(CLASSES)) for i in range(per_class)]
        for done, (k, i) in enumerate(jobs, start=1):
            image = draw_bean(CLASSES[k], np.random.default_rng([seed, k, i]), size=size)
            file = made / CLASSES[k] / f"{CLASSES[k].lower()}_{i:03d}.png"
            with _explained(folder):
                file.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(image).save(file)
            emit(Progress("drawing", done, len(jobs)))
        with _explained(folder):
            made.rename(folder)
    return folder


def cached_demo(cache_root: Path, *, emit: Emit = ignore) -> Path:
    """The demo set under `cache_root`, drawn on first use; `DataError` where that fails."""
    folder = cache_root / f"demo-v{VERSION}"
    try:
        return folder if _is_whole(folder) else write_demo(folder, emit=emit)
    except DataError:
        if not _is_whole(folder):  # it is, where another process drew it meanwhile
            raise
        return folder


def _is_whole(folder: Path) -> bool:
    return sum(1 for _ in folder.glob("*/*.png")) == len(CLASSES) * PER_CLASS


@contextmanager
def _explained(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        problem = f"Cannot write the demo set to {folder}: {error.strerror or error}."
        raise DataError(f"{problem} Choose another folder.") from error


def _make_frame(rng: np.random.Generator) -> Callable[[Array, Array], Planes]:
    """A chance outline: (x, y) -> (along in half-lengths, across in half-widths, radius)."""
    half_length, ratio = rng.uniform(0.66, 0.86), rng.uniform(1.2, 1.5)
    turn, power = rng.uniform(0, 2 * np.pi), rng.uniform(2.0, 2.6)  # power 2 is an ellipse
    (centre_x, centre_y), taper, bend = rng.uniform(-0.1, 0.1, 2), *rng.uniform(-0.14, 0.14, 2)

    def frame(x: Array, y: Array) -> Planes:
        x, y = x - centre_x, y - centre_y
        along = (np.cos(turn) * x + np.sin(turn) * y) / half_length
        across = (np.cos(turn) * y - np.sin(turn) * x) / half_length * ratio + bend * along**2
        across = across / np.clip(1 + taper * along, 0.6, 1.4)  # one end is narrower
        return along, across, (abs(along) ** power + abs(across) ** power) ** (1 / power)

    return frame


def _make_surface(look: _Roast, frame: Planes, rng: np.random.Generator) -> Planes:
    """(height, paint (pixels, pixels, 3), gloss 0-255) of a bean, before light falls on it."""
    (along, across, radius), pixels = frame, len(frame[0])
    swing = rng.choice((-1, 1)) * rng.uniform(0.06, 0.2)  # the S of the crease
    off = across - swing * np.sin(2.6 * along) - 0.03 * _noise(rng, pixels, 10)
    width = look.crease_width * rng.uniform(0.8, 1.3) * (1 + 0.2 * _noise(rng, pixels, 12))
    crease = np.exp(-((off / width) ** 2)) * _smooth_step(0.93 - abs(along), 0.1)
    waves = rng.uniform(10, 15) * along + 2.4 * _noise(rng, pixels, 7) + 2 * abs(across)
    wrinkles = look.wrinkles * (0.5 + 0.5 * np.cos(waves)) ** 5 * _smooth_step(abs(off) - 0.2, 0.3)
    valley = np.exp(-((off / (0.1 + 2 * abs(width))) ** 2))
    bumps = look.roughness * (0.004 * _noise(rng, pixels, 30) + 0.014 * _noise(rng, pixels, 9))
    height = 0.4 * np.sqrt(np.maximum(1 - radius**2, 0)) - 0.07 * valley - 0.025 * wrinkles + bumps
    depth = np.clip(rng.uniform() + 0.15 * _noise(rng, pixels, 5), 0, 1)
    skin = _mix(look.pale, look.deep, depth) * rng.normal(1, 0.02, 3)
    paint = _mix(skin * (1 - 0.3 * wrinkles)[..., None], look.crease, 0.9 * crease)
    flecks = _smooth_step(_noise(rng, pixels, 32) + 0.5 * _noise(rng, pixels, 8) - 1.1, 0.9)
    paint = _mix(paint, (236, 210, 158), look.chaff * rng.uniform(0.5, 0.9) * flecks)
    spots = 35 + 130 * _smooth_step(_noise(rng, pixels, 22) - 1.0, 1.0)
    gloss = 24 + look.oil * rng.uniform(0.6, 1.0) * spots * (1 - crease)
    return height, paint, gloss


def _shade(height: Array, light: Array) -> tuple[Array, Array]:
    """(diffuse light 0-1.1, highlight 0-1: Blinn 1977); `light` is a unit vector to the lamp."""
    slope_y, slope_x = np.gradient(height, 2 / (len(height) - 1))
    steep = np.sqrt(slope_x**2 + slope_y**2 + 1)
    facing = light[2] - light[0] * slope_x - light[1] * slope_y
    half_way = np.maximum(facing + 1, 0) / (steep * np.sqrt(2 + 2 * light[2]))
    return 0.42 + 0.68 * np.maximum(facing, 0) / steep, half_way**24


def _photograph(scene: Array, falloff: Array, rng: np.random.Generator) -> NDArray[np.uint8]:
    """The scene at its final size: vignette, sensor noise, exposure and white balance a bit off."""
    seen = scene * falloff[..., None] * rng.uniform(0.9, 1.06) * rng.uniform(0.97, 1.03, 3)
    size = len(scene) // _OVERSAMPLING
    small = seen.reshape(size, _OVERSAMPLING, size, _OVERSAMPLING, 3).mean(axis=(1, 3))
    noisy = small + rng.normal(0, rng.uniform(1, 4), small.shape)
    return np.asarray(np.clip(np.rint(noisy), 0, 255), dtype=np.uint8)


def _noise(rng: np.random.Generator, pixels: int, cells: int) -> Array:
    """Smooth noise of mean 0 and deviation near 1, its blobs `1 / cells` of the image wide."""
    coarse = Image.fromarray(rng.normal(size=(cells, cells)).astype(np.float32))
    return np.asarray(coarse.resize((pixels, pixels), Image.Resampling.BICUBIC))


def _smooth_step(distance: Array, width: float) -> Array:
    """0 below -width/2, 1 above width/2, a smooth ramp between."""
    t = np.clip(distance / width + 0.5, 0, 1)
    return np.asarray(t * t * (3 - 2 * t))


def _mix(color: ArrayLike, other: ArrayLike, share: Array) -> Array:
    return np.asarray(np.add(color, share[..., None] * np.subtract(other, color)))
