"""Splits as configured, or as they are given: training and validation, with photos that belong
together on one side."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from kvgg_jax.core.config import RunConfig
from kvgg_jax.core.errors import DataError
from kvgg_jax.core.events import Emit, Note, Warned, ignore
from kvgg_jax.core.text import escape_name
from kvgg_jax.data.audit.duplicates import same_photo
from kvgg_jax.data.audit.inspect import inspect_photos
from kvgg_jax.data.samples import PARTS, Part, Samples
from kvgg_jax.data.split import Split, make_split, split_samples

GIVEN = "given"
"""How photos are split that come with their parts, whatever `data.split` says."""
PURPOSE: dict[Part, str] = {
    "train": "for training",
    "val": "for validation",
    "test": "for testing",
}


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
    if samples.parts is not None:
        return _given_split(config, samples, groups=groups, emit=emit)
    data, root = config.data, escape_name(samples.root)
    seed = config.seed if data.split_seed is None else data.split_seed
    if data.split != "grouped" and not data.folds:
        _refuse_to_divide(samples, data.split)
        return split_samples(
            samples,
            val_split=data.val_split,
            seed=seed,
            how=data.split,
            test_split=data.test_split,
        )
    if data.split != "grouped":
        groups = np.arange(len(samples))
    elif groups is None:
        groups = find_groups(samples, emit=emit)
    groups = _joined(groups, _named_groups(config, samples, emit))
    rest = 1 - (data.test_split or 0)
    folds, val_split = data.folds, data.val_split
    shares = [rest / folds] * folds if folds else [val_split, rest - val_split]
    shares += [data.test_split] if data.test_split else []
    part = fill(samples.labels, groups, shares, seed=seed)
    sizes = np.bincount(part, minlength=len(shares))[:folds]
    if folds and not sizes.all():  # for any fold, before the first one is trained
        raise DataError(
            f"{root}: fold {sizes.argmin() + 1} of {folds} would have {len(samples)} of "
            f"{len(samples)} images for training and 0 for validation; each needs at least 1. Add "
            "photos or choose fewer folds."
        )
    val = part == (data.fold or 1) - 1
    test = (part == len(shares) - 1) & bool(data.test_split)
    rows = map(np.flatnonzero, (~val & ~test, val, test))
    return make_split(samples, *rows, val_split=shares[0], test_split=data.test_split)


def how_split(config: RunConfig, split: Split) -> str:
    """`data.split`, or `GIVEN` where the photos were split already."""
    return GIVEN if split.given else config.data.split


def _given_split(
    config: RunConfig, samples: Samples, *, groups: NDArray[np.int64] | None, emit: Emit
) -> Split:
    """The parts in which `samples` are; a Note says so. Without a part for validation, that for
    training is split. Raises DataError where folds are wanted."""
    train, val, test = (samples.part(part) for part in PARTS)
    root, counts = escape_name(samples.root), Counter(samples.parts)
    if config.data.folds:
        raise DataError(
            f"{root} is split already, and folds are made of photos that are not. Give one part "
            "alone: `data.dir`."
        )
    found = ", ".join(f"{counts[part]:,} {PURPOSE[part]}" for part in PARTS if counts[part])
    emit(Note(f"{root} is split already: {found}"))
    if config.data.test_split and (len(val) or len(test)):
        raise DataError(
            f"{root} is split already, and `data.test_split` divides photos that are not. Leave it "
            "out, or name test photos: `data.test`."
        )
    if not len(val):
        own = None if groups is None else groups[np.array(samples.parts) == "train"]
        split = split_photos(config, train, groups=own, emit=emit)
        return replace(split, test=test) if len(test) else split
    _warn_of_divided(samples, _named_groups(config, samples), emit)
    return Split(train, val, test if len(test) else None, given=True)


def _warn_of_divided(samples: Samples, groups: NDArray[np.int64] | None, emit: Emit) -> None:
    """Warn of groups in several parts of a given split."""
    if groups is None:
        return
    sides = set(zip(groups.tolist(), samples.parts or (), strict=True))
    divided = sum(count > 1 for count in Counter(group for group, _ in sides).values())
    if divided:
        text = f"{divided:,} groups have photos in several parts of the given split, so the "
        emit(Warned(f"{text}accuracy looks better than it is"))


def _refuse_to_divide(samples: Samples, how: str) -> None:
    """Raises DataError where the photos have groups, which the way to split does not see."""
    if samples.groups is not None:
        raise DataError(
            f"{escape_name(samples.root)}: the photos have groups, and `data.split = {how}` would "
            "divide them. Use `data.split = grouped`, or leave out the column."
        )


def _named_groups(
    config: RunConfig, samples: Samples, emit: Emit = ignore
) -> NDArray[np.int64] | None:
    """The group of each photo by the list or `data.group_by`, int64 [count]; None without both.

    A Note says how many there are. Raises DataError where the pattern is not found in a path.
    """
    names: Sequence[str] | None = samples.groups
    if pattern := config.data.group_by:
        compiled = re.compile(pattern)
        found = map(compiled.search, samples.paths)
        names = [match[min(compiled.groups, 1)] or "" if match else "" for match in found]
        lost = [path for path, name in zip(samples.paths, names, strict=True) if not name]
        if lost:
            raise DataError(
                f"`data.group_by = {pattern}` finds nothing in {len(lost):,} of {len(names):,} "
                f"paths, such as {escape_name(lost[0])}. Each photo needs a group."
            )
    if names is None:
        return None
    _, groups = np.unique(names, return_inverse=True)
    emit(Note(f"{groups.max() + 1:,} groups; each stays on one side of a split"))
    return groups


def _joined(one: NDArray[np.int64], other: NDArray[np.int64] | None) -> NDArray[np.int64]:
    """Groups in which two photos are together if they are in one of both. int64 [count]."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    if other is None:
        return one
    size = one.max() + 1  # the nodes are the groups of both, each photo is an edge
    nodes = size + other.max() + 1
    edges = coo_array((np.ones(len(one)), (one, size + other)), shape=(nodes, nodes))
    return connected_components(edges, directed=False)[1][one].astype(np.int64)


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
