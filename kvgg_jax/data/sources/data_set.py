"""Data sets of other libraries, whose splits are parts: what `hf:` and `tfds:` share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from kvgg_jax.core.errors import DataError, ImageError
from kvgg_jax.core.places import Place, Url
from kvgg_jax.core.text import escape_name
from kvgg_jax.data.columns import Categories, Numbers, Texts
from kvgg_jax.data.samples import Part, Samples
from kvgg_jax.data.sources.folder import NAMES


class Photos(NamedTuple):
    """Those of one split, by number."""

    classes: Categories
    """The name of the class of each."""
    read: Callable[[int], bytes]
    """The file of one, as it was stored, so that our decoder decodes it. Raises IndexError, and
    ImageError."""


@dataclass(frozen=True, slots=True)
class DataSet(ABC):
    """Photos of a data set; each key is the name of a split and a number there, `train/000042`."""

    root: Url

    @abstractmethod
    def splits(self) -> Mapping[str, Photos]:
        """Those of the data set, or the one that `root` names. Raises DataError."""

    def list_keys(self) -> Iterator[str]:
        """Those of all splits. Raises DataError."""
        for name, photos in self.splits().items():
            yield from (f"{name}/{number:06}" for number in range(len(photos.classes)))

    def name(self, key: str) -> str:
        """The address with the key."""
        return str(self.root / key)

    def read(self, key: str) -> bytes:
        """The content of its file. Raises ImageError."""
        split, _, number = key.partition("/")
        try:
            return self.splits()[split].read(int(number))
        except (KeyError, ValueError, IndexError):
            raise ImageError(
                f"{escape_name(self.name(key))}: does not exist. Check the data set."
            ) from None


def is_data_set(where: Place, scheme: str) -> bool:
    """Whether a place is an address of `scheme`; `hf://` is one of fsspec."""
    text = str(where)
    return isinstance(where, Url) and text.startswith(scheme) and not text.startswith(f"{scheme}//")


def scan_data_set(source: DataSet, *, to_train: bool = True) -> Samples:
    """The photos of all splits; several are parts.

    The classes are those that occur, sorted. Raises DataError; without `to_train`, one class is
    enough.
    """
    root, splits = source.root, source.splits()
    part_of: dict[str, Part] = {name: part for part, names in NAMES.items() for name in names}
    parts = [part_of.get(split.lower()) for split in splits]
    if len(splits) > 1 and (None in parts or "train" not in parts or len({*parts}) < len(parts)):
        raise DataError(
            f"{escape_name(root)} has the splits {', '.join(map(escape_name, splits))}, which are "
            f"not train, validation and test. Name one of each: --data "
            f"{escape_name(root)}@{escape_name(next(iter(splits)))}"
        )
    names = Categories.of(name for photos in splits.values() for name in photos.classes)
    classes = tuple(sorted(names.names))
    if to_train and len(classes) < 2:
        raise DataError(
            f"{escape_name(root)} has photos of {len(classes)} class; a classifier needs 2."
        )
    labels = np.array([classes.index(name) for name in names.names], np.int32)[names.codes]
    counts = zip(parts, splits.values(), strict=True)
    given = Categories.of(part for part, one in counts if part for _ in range(len(one.classes)))
    return Samples(
        source,
        Texts.of(source.list_keys()),
        Numbers(labels),
        classes,
        parts=given if len(splits) > 1 else None,  # type: ignore[arg-type]
    )


def split_address(root: Url) -> tuple[str, str]:
    """What follows the scheme, and the name of the split; empty without one."""
    place, _, wanted = str(root).partition(":")[2].partition("@")
    return place, wanted


def choose_splits(root: Url, names: Collection[str], wanted: str) -> Collection[str]:
    """Those to use: the one that is `wanted`, or all. Raises DataError."""
    if wanted and wanted not in names:
        raise DataError(
            f"{escape_name(root)}: there is no split {escape_name(wanted)}. "
            f"It has: {', '.join(map(escape_name, names))}."
        )
    return [wanted] if wanted else names


def check_labels(root: Url, missing: int, count: int, split: object) -> None:
    """Raises DataError where some of a split's photos have no label."""
    if missing:
        scheme = str(root).partition(":")[0]
        raise DataError(
            f"{escape_name(root)}: {missing:,} of {count:,} photos of the split {split} "
            f"have no label. Name a split that has them: {scheme}:NAME@SPLIT"
        )


def reason_of(error: Exception) -> str:
    """An error of another library on one line."""
    return escape_name(" ".join(str(error).split())) or type(error).__name__
