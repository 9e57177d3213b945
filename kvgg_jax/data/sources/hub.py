"""A data set of Hugging Face, from its hub or saved in a folder; its splits are parts."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from kvgg_jax.core.errors import DataError, ImageError
from kvgg_jax.core.extras import require
from kvgg_jax.core.places import Place, Url
from kvgg_jax.core.text import escape_name
from kvgg_jax.data.decode.image import read_file
from kvgg_jax.data.samples import Part, Samples
from kvgg_jax.data.sources.folder import NAMES

SCHEME = "hf:"
LABELS = ("label", "labels", "class")  # columns of text that name classes


@dataclass(frozen=True, slots=True)
class HuggingFace:
    """Images of `hf:NAME`, `hf:NAME:CONFIG`, or `hf:FOLDER`, each with `@SPLIT` for one split.

    The key of each is the name of its split and its number there, `train/000042`.
    """

    root: Url

    def list_keys(self) -> list[str]:
        """Those of all splits. Raises DataError."""
        return list(_keys(_open(self.root)))

    def name(self, key: str) -> str:
        """The address with the key."""
        return str(self.root / key)

    def read(self, key: str) -> bytes:
        """The image as it was stored, so that our decoder decodes it. Raises ImageError."""
        split, _, number = key.partition("/")
        try:
            found = _open(self.root)[split]
            image = found.rows[int(number)][found.column]
        except (KeyError, ValueError, IndexError):
            image = None
        if image is None:
            raise ImageError(f"{escape_name(self.name(key))}: does not exist. Check the data set.")
        return image["bytes"] or read_file(Path(image["path"]))


def is_hub(where: Place) -> bool:
    """Whether a place is a data set by its name."""
    text = str(where)
    return isinstance(where, Url) and text.startswith(SCHEME) and not text.startswith("hf://")


def scan_hub(root: Url, *, to_train: bool = True) -> Samples:
    """The photos of all splits, or of the one that `root` names; several are parts.

    The classes are those that occur, sorted. Raises DataError; without `to_train`, one class is
    enough.
    """
    splits = _open(root)
    part_of: dict[str, Part] = {name: part for part, names in NAMES.items() for name in names}
    parts = [part_of.get(split.lower()) for split in splits]
    if len(splits) > 1 and (None in parts or "train" not in parts or len({*parts}) < len(parts)):
        raise DataError(
            f"{escape_name(root)} has the splits {', '.join(map(escape_name, splits))}, which are "
            f"not train, validation and test. Name one of each: --data "
            f"{escape_name(root)}@{escape_name(next(iter(splits)))}"
        )
    names = [name for split in splits.values() for name in split.labels]
    classes = tuple(sorted(set(names)))
    if to_train and len(classes) < 2:
        raise DataError(
            f"{escape_name(root)} has photos of {len(classes)} class; a classifier needs 2."
        )
    label = {name: place for place, name in enumerate(classes)}
    given = [part for part, one in zip(parts, splits.values(), strict=True) for _ in one.labels]
    return Samples(
        HuggingFace(root),
        tuple(_keys(splits)),
        tuple(label[name] for name in names),
        classes,
        parts=tuple(filter(None, given)) if len(splits) > 1 else None,
    )


class _Split(NamedTuple):
    rows: Any
    """By number; the image of each is a dictionary of `bytes` and `path`."""
    column: str
    """That of the images."""
    labels: list[str]


def _keys(splits: dict[str, _Split]) -> Iterator[str]:
    for name, split in splits.items():
        yield from (f"{name}/{number:06}" for number in range(len(split.labels)))


@functools.lru_cache(maxsize=4)
def _open(root: Url) -> dict[str, _Split]:
    """The splits of a data set in their order, memory-mapped. Raises DataError."""
    require("huggingface", by=SCHEME)
    import datasets

    place, _, wanted = str(root).removeprefix(SCHEME).partition("@")
    try:
        found = _load(place)
    except Exception as error:  # nearly any type
        reason = escape_name(" ".join(str(error).split())) or type(error).__name__
        raise DataError(
            f"{escape_name(root)} cannot be loaded ({reason}). Check the name and the network. "
            "Without a network: save it where there is one (`save_to_disk`), and give its folder: "
            "hf:FOLDER"
        ) from error
    splits = dict(found) if isinstance(found, datasets.DatasetDict) else {"train": found}
    if wanted and wanted not in splits:
        raise DataError(
            f"{escape_name(root)}: there is no split {escape_name(wanted)}. "
            f"It has: {', '.join(map(escape_name, splits))}."
        )
    return {name: _split(root, splits[name]) for name in ([wanted] if wanted else splits)}


def _load(place: str) -> Any:
    import datasets

    if not os.path.isdir(place):
        name, _, config = place.partition(":")
        return datasets.load_dataset(name, config or None)
    try:
        return datasets.load_from_disk(place)
    except FileNotFoundError:  # not what `save_to_disk` writes, but perhaps Parquet files
        return datasets.load_dataset(place)


def _split(root: Url, rows: Any) -> _Split:
    """The columns of images and labels. Raises DataError where one is missing."""
    import datasets

    features = rows.features
    images = [name for name, one in features.items() if isinstance(one, datasets.Image)]
    known = [name for name, one in features.items() if isinstance(one, datasets.ClassLabel)]
    named = [name for name in LABELS if isinstance(features.get(name), datasets.Value)]
    if not images or not known + named:
        raise DataError(
            f"{escape_name(root)} has the columns {', '.join(map(escape_name, features))}. "
            f"Expected one of type Image, and one of type ClassLabel or named {LABELS[0]}."
        )
    label = (known + named)[0]
    values = list(rows[label])
    if missing := sum(value is None or value == -1 for value in values):
        raise DataError(
            f"{escape_name(root)}: {missing:,} of {len(values):,} photos of the split {rows.split} "
            "have no label. Name a split that has them: hf:NAME@SPLIT"
        )
    texts = [features[label].int2str(v) if known else str(v) for v in values]
    stored = rows.select_columns([images[0]]).cast_column(images[0], datasets.Image(decode=False))
    return _Split(stored, images[0], texts)
