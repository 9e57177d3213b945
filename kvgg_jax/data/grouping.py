"""Splits as configured, or as the folders are split: training and validation, with duplicates kept
on one side."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from kvgg_jax.core.config import RunConfig
from kvgg_jax.core.errors import DataError
from kvgg_jax.core.events import Emit, Note, ignore
from kvgg_jax.core.text import escape_name
from kvgg_jax.data.audit.duplicates import same_photo
from kvgg_jax.data.audit.inspect import inspect_photos
from kvgg_jax.data.folder import TEST, TRAIN, Samples
from kvgg_jax.data.split import Split, check_parts, split_samples

GIVEN = "given"
"""How photos in `train/` and `val/` are split, whatever `data.split` says."""


def split_photos(
    config: RunConfig,
    samples: Samples,
    *,
    groups: NDArray[np.int64] | None = None,
    emit: Emit = ignore,
) -> Split:
    """Split `samples` as `config` says, or as they are split already.

    Raises DataError when a part would be empty. `groups` says which are duplicates, where that is
    known; else the photos are compared.
    """
    data, root = config.data, escape_name(samples.root)
    if how_split(config, samples) == GIVEN:
        return _given_split(config, samples, emit)
    seed = config.seed if data.split_seed is None else data.split_seed
    if data.split != "grouped" and not data.folds:
        return split_samples(samples, val_split=data.val_split, seed=seed, how=data.split)
    if data.split != "grouped":
        groups = np.arange(len(samples))
    elif groups is None:
        groups = find_groups(samples, emit=emit)
    shares = [1 / data.folds] * data.folds if data.folds else [data.val_split, 1 - data.val_split]
    part = fill(samples.labels, groups, shares, seed=seed)
    sizes = np.bincount(part, minlength=len(shares))
    if data.folds and not sizes.all():  # for any fold, before the first one is trained
        raise DataError(
            f"{root}: fold {sizes.argmin() + 1} of {data.folds} would have {len(samples)} of "
            f"{len(samples)} images for training and 0 for validation; each needs at least 1. Add "
            "photos or choose fewer folds."
        )
    held_out = part == (data.fold or 1) - 1
    train, val = (np.flatnonzero(part).tolist() for part in (~held_out, held_out))
    check_parts(samples, len(train), len(val), shares[0])
    return Split(samples.take(train), samples.take(val))


def how_split(config: RunConfig, samples: Samples) -> str:
    """`data.split`, or `GIVEN` where the photos are in `train/` and `val/`."""
    by_class = all(
        path.partition("/")[0] == samples.classes[label]
        for path, label in zip(samples.paths, samples.labels, strict=True)
    )
    return config.data.split if by_class else GIVEN


def _given_split(config: RunConfig, samples: Samples, emit: Emit) -> Split:
    """The parts in which `samples` are; a Note says so. Raises DataError where folds are wanted."""
    tops = np.array([path.partition("/")[0] for path in samples.paths])
    train, val = sorted(set(tops.tolist()), key=lambda name: name.lower() not in TRAIN)
    root = escape_name(samples.root)
    if config.data.folds:
        raise DataError(
            f"{root} is split into {train} and {val} already, and folds are made from one folder. "
            f"Give one part: {escape_name(samples.root / train)}."
        )
    others = [name for name in sorted(os.listdir(samples.root)) if name.lower() in TEST]
    alone = f"; {' and '.join(others)} is not used" if others else ""
    emit(Note(f"{root} is split already: {train} for training, {val} for validation{alone}"))
    return Split(*(samples.take(np.flatnonzero(tops == part).tolist()) for part in (train, val)))


def find_groups(samples: Samples, *, emit: Emit = ignore) -> NDArray[np.int64]:
    """Group of each photo, duplicates in one; a Note says how many there are. int64 [count]."""
    groups = same_photo([seen.look for seen in inspect_photos(samples, emit=emit)])
    sizes = np.bincount(groups)
    copies = sizes[sizes > 1]
    found = f"{copies.sum():,} photos in {len(copies):,} groups" if len(copies) else "none"
    total = f"of {len(samples):,} photos; a group stays on one side of a split"
    emit(Note(f"Duplicates: {found}, {total}"))
    return groups


def fill(
    labels: Sequence[int], groups: NDArray[np.int64], shares: Sequence[float], *, seed: int
) -> NDArray[np.int64]:
    """Part of each photo, int64 [count]: parts of these `shares`, in all and in each class.

    A whole group goes to one part. It is drawn by the shares from `seed`; where the drawn part has
    no room for it, it is the part that brings the counts closest to the shares, by the sum of
    squared distances over expected counts. Large groups come first, while there is room.
    """
    from scipy.sparse import csr_array

    count, last = len(labels), max(labels) + 1
    _, group = np.unique(groups, return_inverse=True)
    # Photos of each class in each group, and of all classes in the last column.
    cells = np.append(group, group), np.append(labels, [last] * count)
    counts = csr_array((np.ones(2 * count), cells), shape=(group.max() + 1, last + 1))
    counts.sort_indices()
    wanted = np.outer(shares, counts.sum(axis=0))
    lacking, cost, scale = wanted.copy(), np.zeros_like(wanted), np.maximum(wanted, 1e-9)
    scale[:, -1] *= 1000  # where a class leaves a choice, so that remainders even out
    random = np.random.RandomState(seed)
    order = random.permutation(counts.shape[0])
    order = order[np.argsort(-np.bincount(group)[order], kind="stable")]
    part = random.choice(len(shares), counts.shape[0], p=shares)
    full = np.zeros(len(shares), np.int64)  # columns of each part that have more than wanted
    for one in order:
        row = slice(counts.indptr[one], counts.indptr[one + 1])
        columns, more = counts.indices[row], counts.data[row]
        if full[part[one]] or (lacking[part[one], columns] < more).any():
            cost[:, columns] = more * (more - 2 * lacking[:, columns]) / scale[:, columns]
            part[one] = np.argmin(cost.sum(axis=1))
            cost[:, columns] = 0
        before = lacking[part[one], columns]
        lacking[part[one], columns] = before - more
        full[part[one]] += np.count_nonzero(before < more) - np.count_nonzero(before < 0)
    return part[group]
