"""A data set of Hugging Face, from its hub or saved in a folder; its splits are parts."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from kvgg_jax.core.errors import DataError, ImageError
from kvgg_jax.core.extras import require
from kvgg_jax.core.places import Place, Url
from kvgg_jax.core.text import escape_name
from kvgg_jax.data.columns import Categories
from kvgg_jax.data.decode.image import read_file
from kvgg_jax.data.samples import Samples
from kvgg_jax.data.sources.data_set import (
    DataSet,
    Photos,
    check_labels,
    choose_splits,
    is_data_set,
    reason_of,
    scan_data_set,
    split_address,
)

SCHEME = "hf:"
LABELS = ("label", "labels", "class")  # columns of text that name classes
CHANNELS = ((), (1,), (3,), (4,))  # what an array of pixels has after height and width


class HuggingFace(DataSet):
    """Images of `hf:NAME`, `hf:NAME:CONFIG`, or `hf:FOLDER`, each with `@SPLIT` for one split."""

    def splits(self) -> Mapping[str, Photos]:
        """As `DataSet` says; they are memory-mapped."""
        return _open(self.root)


def is_hub(where: Place) -> bool:
    """Whether a place is a data set by its name."""
    return is_data_set(where, SCHEME)


def scan_hub(root: Url, *, to_train: bool = True) -> Samples:
    """As `scan_data_set`."""
    return scan_data_set(HuggingFace(root), to_train=to_train)


@functools.lru_cache(maxsize=4)
def _open(root: Url) -> dict[str, Photos]:
    """The splits of a data set in their order. Raises DataError."""
    require("huggingface", by=SCHEME)
    import datasets

    place, wanted = split_address(root)
    try:
        found = _load(place)
    except Exception as error:  # nearly any type
        raise DataError(
            f"{escape_name(root)} cannot be loaded ({reason_of(error)}). Check the name and the "
            "network. Without a network: save it where there is one (`save_to_disk`), and give its "
            "folder: hf:FOLDER"
        ) from error
    splits = dict(found) if isinstance(found, datasets.DatasetDict) else {"train": found}
    return {name: _photos(root, splits[name]) for name in choose_splits(root, splits, wanted)}


def _load(place: str) -> Any:
    import datasets

    if not os.path.isdir(place):
        name, _, config = place.partition(":")
        return datasets.load_dataset(name, config or None)
    try:
        return datasets.load_from_disk(place)
    except FileNotFoundError:  # not what `save_to_disk` writes, but perhaps Parquet files
        return datasets.load_dataset(place)


def _photos(root: Url, rows: Any) -> Photos:
    """The columns of images and labels. Raises DataError where one is missing."""
    import datasets

    features = rows.features
    images = [name for name, one in features.items() if isinstance(one, datasets.Image)]
    arrays = [name for name, one in features.items() if _array_type(one)]
    known = [name for name, one in features.items() if isinstance(one, datasets.ClassLabel)]
    named = [name for name in LABELS if isinstance(features.get(name), datasets.Value)]
    if not images + arrays or not known + named:
        raise DataError(
            f"{escape_name(root)} has the columns {', '.join(map(escape_name, features))}. "
            f"Expected one of type Image, and one of type ClassLabel or named {LABELS[0]}."
        )
    label, image = (known + named)[0], (images + arrays)[0]
    values = list(rows[label])
    missing = sum(value is None or value == -1 for value in values)
    check_labels(root, missing, len(values), rows.split)
    texts = (features[label].int2str(v) if known else str(v) for v in values)
    read = _files(rows, image) if images else _pixels(root, rows, image)
    return Photos(Categories.of(texts), read)


def _files(rows: Any, column: str) -> Callable[[int], bytes]:
    """What gives the file of an image, by number."""
    import datasets

    stored = rows.select_columns([column]).cast_column(column, datasets.Image(decode=False))

    def read(number: int) -> bytes:
        found = stored[number][column]
        if found is None:
            raise IndexError(number)
        return found["bytes"] or read_file(Path(found["path"]))

    return read


def _array_type(feature: Any) -> str | None:
    """That of the values of a column of arrays, of two dimensions or three; None for others."""
    import datasets

    depth = 0
    while isinstance(feature, datasets.List | datasets.LargeList):
        feature, depth = feature.feature, depth + 1
    is_array = isinstance(feature, datasets.Array2D | datasets.Array3D) or depth in (2, 3)
    return getattr(feature, "dtype", None) if is_array else None


def _pixels(root: Url, rows: Any, column: str) -> Callable[[int], bytes]:
    """What gives an image as a PNG, by number. Raises DataError where the first has no pixels."""
    stored = rows.select_columns([column]).with_format("numpy", dtype=np.uint8)
    kind = _array_type(rows.features[column])

    def read(number: int) -> bytes:
        pixels = stored[number][column]
        if kind != "uint8" or pixels.ndim < 2 or pixels.shape[2:] not in CHANNELS:
            raise ImageError(
                f"{escape_name(root)}: photo {number} of the split {rows.split} is "
                f"{kind} {list(pixels.shape)} in the column {escape_name(column)}. "
                "Expected uint8 [height, width], or [height, width, channels] with 1, 3 or 4."
            )
        file = BytesIO()  # a gray image has no axis of channels in Pillow
        Image.fromarray(pixels[..., 0] if pixels.shape[2:] == (1,) else pixels).save(file, "png")
        return file.getvalue()

    try:
        read(0)
    except ImageError as error:
        raise DataError(str(error)) from None
    return read
