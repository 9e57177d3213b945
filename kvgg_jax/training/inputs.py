"""The photos of a run, found, split and read, and the weights that it starts from."""

from __future__ import annotations

import math
import os
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from kvgg_jax.core.config import RunConfig
from kvgg_jax.core.devices.check import check_jax
from kvgg_jax.core.errors import ConfigError, DataError, RunError
from kvgg_jax.core.events import Emit, Note, Warned
from kvgg_jax.core.places import place
from kvgg_jax.core.process import cache_folder
from kvgg_jax.core.tables.data import MIN_IMAGE_SIZE
from kvgg_jax.core.text import escape_name
from kvgg_jax.data.audit.audit import copies_warning
from kvgg_jax.data.audit.inspect import typical_side
from kvgg_jax.data.class_balance import missing_in_validation
from kvgg_jax.data.demo import cached_demo
from kvgg_jax.data.grouping import PURPOSE, how_split, split_photos
from kvgg_jax.data.open_photos import open_photos
from kvgg_jax.data.reader import DecodedImages, read
from kvgg_jax.data.samples import Samples
from kvgg_jax.data.split import Split
from kvgg_jax.data.windows import find_windows
from kvgg_jax.models.cost import describe
from kvgg_jax.models.registry import choose_size
from kvgg_jax.runs import catalog
from kvgg_jax.runs.folder import Run
from kvgg_jax.runs.manifest import trained_on
from kvgg_jax.training.augment.regions import side_to_crop
from kvgg_jax.training.transfer.initial_weights import (
    InitialWeights,
    complete_model,
    load_initial_weights,
)

ENLARGED = 1.5  # times the pixels a side, from where on a note says so
DEMO_SIZE = 48  # small enough for minutes on two cores


class Inputs(NamedTuple):
    """What a new run is trained on."""

    samples: Samples
    """All photos to train and to validate on, unreadable ones included."""
    split: Split
    """Of those that can be read."""
    decoded: DecodedImages
    initial: InitialWeights | None


def complete_config(config: RunConfig, emit: Emit, *, out: str | Path = catalog.OUT) -> RunConfig:
    """Fill in what depends on the photos and the initial weights, such as the image size.

    `out` holds the runs among which weights are looked for. Raises KvggError where JAX cannot
    compute, or the network cannot be built.
    """
    check_jax()
    if config.train.time and "epochs" in config.train.model_fields_set:
        emit(Note(f"`train.epochs = {config.train.epochs}` is not used: `train.time` decides"))
    config = complete_model(config, Path(out))
    if config.only_solves_head:
        config = config.with_train(epochs=1)  # nothing is left to train
    folder, size = config.data.dir, choose_size(config)
    if folder is None and Path("data").is_dir():
        folder = "data"
    if folder is None:
        emit(Note("No `data.dir` and no ./data here: using the built-in demo set of drawn beans."))
        folder, size = (
            str(cached_demo(cache_folder(), emit=emit)),
            config.data.image_size or DEMO_SIZE,
        )
    describe(config.model, classes=2, image_size=size)  # raises for one that cannot be built
    places = {"dir": folder, "val": config.data.val, "test": config.data.test}
    places["root"] = config.data.root
    absolute = {key: str(place(given).absolute()) for key, given in places.items() if given}
    return config.with_data(**absolute, image_size=size)


def load_inputs(config: RunConfig, emit: Emit) -> Inputs:
    """What `train` starts with, for a complete config. Raises KvggError as `train` does."""
    samples = open_photos(config.data, emit=emit)
    split = split_photos(config, samples, emit=emit)
    _check_steps(config, len(split.train))
    find_windows(split.train, np.arange(len(split.train)), config.data.shuffle_shards)  # may refuse
    total = f"{len(samples):,} photos of {len(samples.classes)} classes in {samples.root}"
    counts = [f"{len(part):,} {PURPOSE[name]}" for name, part in split.parts()]
    emit(Note(f"{total}: {', '.join(counts)}"))
    samples = replace(samples, parts=None).without(split.test)
    _note_enlarged(split.train, config, emit)
    initial = load_initial_weights(config, samples.classes, emit)
    decoded = read_photos(samples, config, emit)
    split = _only_readable(split, decoded)
    return Inputs(samples, split, with_larger(decoded, split, config, emit), initial)


def _note_enlarged(photos: Samples, config: RunConfig, emit: Emit) -> None:
    """Where most have far fewer pixels a side than the network takes.

    Not for weights that were trained before, which may know things at this size.
    """
    if config.model.weights is not None:
        return
    side, size = typical_side(photos), config.image_size
    enough = max(side, MIN_IMAGE_SIZE)
    if side and size >= ENLARGED * enough:
        emit(
            Note(
                f"Most photos have {side} pixels a side and are enlarged to {size}: training takes "
                f"longer and sees no more than with `data.image_size = {enough}`"
            )
        )


def read_photos(
    samples: Samples, config: RunConfig, emit: Emit, *, size: int | None = None
) -> DecodedImages:
    """Decoded to `size` pixels a side, or that of `config`; DataError names the unreadable ones."""
    return read(
        samples,
        size or config.image_size,
        config.data.resize,
        skip_bad=config.data.skip_bad,
        cache=config.data.cache,
        folder=cache_folder(),
        emit=emit,
    )


def with_larger(
    decoded: DecodedImages, split: Split, config: RunConfig, emit: Emit
) -> DecodedImages:
    """`decoded`, and the training photos larger where `data.crop` is set."""
    if config.data.crop is None:
        return decoded
    if config.only_solves_head:
        emit(Note("`data.crop` has no effect: a linear head is solved on whole photos"))
        return decoded
    size = side_to_crop(config.image_size, config.data.crop)
    emit(Note(f"Random crops are cut at {size} px: the training photos are read once more"))
    return replace(decoded, larger=read_photos(split.train, config, emit, size=size))


def _check_steps(config: RunConfig, count: int) -> None:
    """Raises ConfigError where `count` images are too few for the batch or the warm-up."""
    if config.train.batch_size > count:
        raise ConfigError(
            f"`train.batch_size = {config.train.batch_size}` is larger than the training set "
            f"({count} images in {config.data.dir}). Choose {count} or less."
        )
    steps = config.train.epochs * math.ceil(count / config.train.batch_size)
    if config.train.time is None and config.optim.warmup_steps >= steps:
        raise ConfigError(
            f"`optim.warmup_steps = {config.optim.warmup_steps}`: the whole run has {steps} steps. "
            f"Choose fewer, such as {steps // 10}, a smaller `train.batch_size`, or more "
            "`train.epochs`."
        )


def _only_readable(split: Split, decoded: DecodedImages) -> Split:
    """The split without the images that were left out as unreadable."""
    train, val = (
        decoded.samples.take(decoded.rows(part).tolist()) for part in (split.train, split.val)
    )
    if not train or not val:
        raise DataError(
            f"{train.root}: without its {len(decoded.bad)} unreadable images, {len(train)} are "
            f"left for training and {len(val)} for validation; each needs at least 1. "
            "Replace them or add photos."
        )
    left = set(decoded.samples.labels)
    for label, name in enumerate(train.classes):
        if label not in left:
            raise DataError(
                f"{escape_name(train.root / name)} has no readable images. "
                f"Add photos of class {name!r}, or remove the folder."
            )
    return replace(split, train=train, val=val)


def warn_of_split(inputs: Inputs, config: RunConfig, emit: Emit) -> None:
    """Warn of copies on both sides of the split, of classes without a validation photo, and of
    validation photos that the run whose weights are used was trained on."""
    split, val, decoded = inputs.split, inputs.split.val, inputs.decoded
    how = how_split(config, split)
    digests = decoded.digests().take(decoded.rows(split.all))
    copies = copies_warning(split, digests, grouped=how == "grouped")
    seen = _seen_by_weights(val, decoded, config)
    for warning in (copies, missing_in_validation(val, how), seen):
        if warning:
            emit(Warned(warning))


def _seen_by_weights(val: Samples, decoded: DecodedImages, config: RunConfig) -> str | None:
    weights = config.model.weights
    if weights is None or not os.path.isdir(weights):
        return None
    run = escape_name(weights)
    try:
        known = val.rows(trained_on(Run(Path(weights)), decoded))
    except RunError as error:
        return f"It is unknown whether {run} was trained on photos for validation: {error}"
    if not len(known):
        return None
    return (
        f"{len(known):,} of the {len(val):,} photos for validation are among those that {run} was "
        "trained on, so the accuracy looks better than it is. Evaluate with other photos (kvgg "
        "evaluate --data DIR). The same photos are split alike with the same `seed` and "
        "`data.split`, if none is added."
    )
