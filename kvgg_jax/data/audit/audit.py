"""A folder of photos checked before training: what is there, and what would mislead."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from kvgg_jax.core.config import RunConfig
from kvgg_jax.core.errors import DataError
from kvgg_jax.core.events import Emit, ignore
from kvgg_jax.core.places import Place, Url, canonical, is_missing, place
from kvgg_jax.core.tables.data import DataConfig
from kvgg_jax.core.text import escape_name
from kvgg_jax.data.audit.color_baseline import ColorBaseline, compare_colors
from kvgg_jax.data.audit.duplicates import group_equal, same_photo
from kvgg_jax.data.audit.findings import AGAINST, TEST, TRAIN, VAL, Check, Duplicates, Photo
from kvgg_jax.data.audit.inspect import Seen, inspect_photos
from kvgg_jax.data.audit.series import find_series
from kvgg_jax.data.grouping import how_split, split_photos
from kvgg_jax.data.open_photos import open_photos
from kvgg_jax.data.samples import Samples
from kvgg_jax.data.sources.folder import Folder, all_images
from kvgg_jax.data.split import Split, rows_by_label

FLAT = 1 / 255  # spread of every channel below which an image has only one color


def check_data(
    folder: str | Place,
    *,
    against: str | Place | None = None,
    config: RunConfig | None = None,
    split: Split | None = None,
    emit: Emit = ignore,
) -> Check:
    """Check the photos of `folder`, split as `train` would with `config`.

    With `split`, an existing split of these photos, check those photos and that split.
    `against` is a folder that should share no photo with it, with or without class folders.
    Nothing is written. Raises DataError for a folder that `train` would refuse as a whole;
    unreadable files are part of the answer.
    """
    config = (config or RunConfig()).with_data(dir=str(folder))
    samples = split.all if split else open_photos(config.data, emit=emit)
    others = _others(place(against), samples.root, emit) if against else None
    seen = inspect_photos(samples, *([others] if others else []), emit=emit, stage="looking")
    groups, own = same_photo([one.look for one in seen]), seen[: len(samples)]
    if split is None:
        # `train` does not know the others, which might join two groups of its own.
        alone = same_photo([one.look for one in own]) if others else groups
        split = split_photos(config, samples, groups=alone)
    part_of = {path: part for part, ones in split.parts() for path in ones.paths}
    photos = _photos(samples, [part_of[path] for path in samples.paths])
    photos += _photos(others, [AGAINST] * len(others)) if others else []
    headers = [one.header for one in own if one.header]
    counts, in_val = Counter(samples.labels), Counter(split.val.labels)
    return Check(
        folder=samples.root,
        against=others.root if others else None,
        samples=samples,
        others=others,
        classes={name: counts[k] for k, name in enumerate(samples.classes)},
        sizes=Counter(header.size for header in headers),
        modes=Counter(header.mode for header in headers),
        formats=Counter(header.format for header in headers),
        bad=tuple((one.path, str(one.error)) for one in seen if one.error),
        odd=(*_odd(seen), *_unused(samples)),
        duplicates=tuple(sorted(_duplicates(seen, groups, photos), key=_harm)),
        how=how_split(config, split),
        parts={
            TRAIN: len(split.train),
            VAL: len(split.val),
            TEST: len(split.test or ()),
            AGAINST: len(others or ()),
        },
        series=None if split.given else find_series(split.train, split.val),
        color=_color(own, samples, split),
        chance=max(in_val.values()) / len(split.val),
    )


def _others(root: Place, folder: Place, emit: Emit) -> Samples:
    """Photos to compare with: with classes where there are class folders, else without."""
    if not is_missing(root) and canonical(root) == canonical(folder):
        raise DataError(f"{escape_name(root)} is the folder itself; --against needs another.")
    try:
        return open_photos(DataConfig(dir=str(root)), emit=emit)
    except DataError:
        if isinstance(root, Url) or not (found := all_images(root)):
            raise
    paths = tuple(path.relative_to(root).as_posix() for path in found)
    return Samples(Folder(root), paths, (0,) * len(paths), ("",))


def _photos(samples: Samples, parts: Sequence[str]) -> list[Photo]:
    rows = zip(samples.files(), samples.labels, parts, strict=True)
    return [Photo(path, samples.classes[label], part) for path, label, part in rows]


def _duplicates(
    seen: Sequence[Seen], groups: NDArray[np.int64], photos: Sequence[Photo]
) -> Iterator[Duplicates]:
    """Groups of several, by their first member."""
    for members in rows_by_label(groups):
        if len(members) > 1:
            digests = {look.digest for place in members if (look := seen[place].look)}
            yield Duplicates(len(digests) == 1, tuple(photos[place] for place in members))


def _harm(group: Duplicates) -> tuple[bool, ...]:
    """What sorts the worst first."""
    return (not group.contradictory, not group.across, len(group.parts) == 1)


def _odd(seen: Sequence[Seen]) -> Iterator[tuple[Place, str]]:
    for one in seen:
        for text in one.header.odd if one.header else ():
            yield one.path, text
        if one.look and (one.look.color[3:] < FLAT).all():
            yield one.path, "has only one color"


def _unused(samples: Samples) -> Iterator[tuple[Place, str]]:
    """Files that `train` passes over without a message."""
    if isinstance(samples.source, Folder):
        yield from samples.source.unused(samples.paths)


def _color(seen: Sequence[Seen], samples: Samples, split: Split) -> ColorBaseline:
    at = {path: place for place, path in enumerate(samples.paths)}
    parts = [([seen[at[path]] for path in p.paths], p.labels) for p in (split.train, split.val)]
    return compare_colors(*parts)


def copies_warning(split: Split, digests: Sequence[str], *, grouped: bool) -> str | None:
    """One line on exact duplicates among the photos of `split.all`, from their digests.

    None where there are none, or where they were `grouped`, which says so, and agree.
    """
    both, groups = split.all, group_equal(digests)
    copies = len(both) - len(np.unique(groups))
    labels, trained = np.array(both.labels), len(split.train)
    leaks = np.isin(groups[trained:], groups[:trained]).sum()
    pairs = np.unique(np.stack([groups, labels]), axis=1)
    contradictory = (np.bincount(pairs[0]) > 1).sum()
    if not copies or (grouped and not contradictory):
        return None
    found = [f"Exact copies of other photos: {copies:,}"]
    found += [f"on both sides of the split: {leaks:,}"] * bool(leaks)
    found += [f"in several classes: {contradictory:,}"] * bool(contradictory)
    return f"{'; '.join(found)}. See them: kvgg data check {escape_name(both.root)}"
