"""A grid of photos as the network sees them, and as augmentation changes them in training."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from kvgg_jax.core.config import RunConfig
from kvgg_jax.core.devices.check import check_jax
from kvgg_jax.core.events import Emit, ignore
from kvgg_jax.core.state import AnyArray, Batch
from kvgg_jax.data.open_photos import open_photos
from kvgg_jax.data.reader import read
from kvgg_jax.data.samples import Samples
from kvgg_jax.models.preprocess import normalize
from kvgg_jax.models.registry import choose_size
from kvgg_jax.runs.charts import draw_samples
from kvgg_jax.training.augment.regions import side_to_crop
from kvgg_jax.training.setup import Network, build_changes
from kvgg_jax.training.step import Augment, Mix, changed

COLUMNS = 8
FIRST = 24  # images of the first batch


def preview(
    folder: str | Path,
    file: str | Path,
    *,
    config: RunConfig | None = None,
    count: int = COLUMNS,
    emit: Emit = ignore,
) -> None:
    """Draw `count` photos of `folder`, chosen from `seed` and even over the classes, into `file`.

    With augmentation or mixing, one row per photo: unchanged, then as steps 1 to 7 of training
    would change it, if these photos were its batch.
    Raises DataError for photos that cannot be used, RunError when `file` cannot be written.
    """
    check_jax()
    config = (config or RunConfig()).with_data(dir=str(folder))
    samples = open_photos(config.data, emit=emit)
    size, seed, resize = choose_size(config), config.seed, config.data.resize
    chosen = samples.take(_even_choice(samples, count, seed))
    decoded = read(chosen, size, resize, skip_bad=config.data.skip_bad, emit=emit)
    labels = np.array(decoded.samples.labels, np.int32)
    images = np.asarray(normalize(decoded.images[np.arange(len(labels))]))
    names = [samples.classes[label] for label in labels]
    augment, mix = build_changes(config, size, len(samples.classes))
    if augment or mix:
        side = side_to_crop(size, config.data.crop) if config.data.crop else size
        given = read(decoded.samples, side, resize, emit=emit).images[np.arange(len(labels))]
        batch, steps = Batch(given, labels, np.ones(len(labels), np.float32)), range(1, COLUMNS)
        change = _as_one(augment, mix)
        later = [np.asarray(change(batch, jnp.int32(step - 1)).images) for step in steps]
        images = np.stack([images, *later], axis=1).reshape(-1, size, size, 3)
        names = [title for name in names for title in (name, *(f"step {step}" for step in steps))]
    draw_samples(images, names, Path(file), columns=COLUMNS)


def draw_first_batch(network: Network, file: Path) -> None:
    """The first images of training as the network sees them, with their class, into `file`.

    For a mixed image that is the class with the larger share.
    """
    classes = network.split.train.classes
    change = _as_one(*build_changes(network.config, network.config.image_size, len(classes)))
    images, labels, _ = change(network.batches.first(FIRST), jnp.int32(0))
    labels = np.argmax(labels, axis=-1) if np.ndim(labels) == 2 else labels
    draw_samples(np.asarray(images), [classes[label] for label in labels], file)


def _as_one(augment: Augment | None, mix: Mix | None) -> Callable[[Batch, AnyArray], Batch]:
    """(batch, step) -> the changed batch, as one program: by parts it compiles for longer."""
    return jax.jit(partial(changed, augment=augment, mix=mix))


def _even_choice(samples: Samples, count: int, seed: int) -> list[int]:
    """Places of `count` photos: one of each class in turn, in an order drawn from `seed`."""
    order = np.random.default_rng(seed).permutation(len(samples)).tolist()
    turns = defaultdict[int, Iterator[int]](itertools.count)
    turn = {place: next(turns[samples.labels[place]]) for place in order}
    return sorted(order, key=lambda place: (turn[place], samples.labels[place]))[:count]
