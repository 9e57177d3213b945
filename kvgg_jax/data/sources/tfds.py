"""A data set of TensorFlow Datasets that is prepared on this machine; its splits are parts."""

from __future__ import annotations

import functools
import os
from array import array
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from kvgg_jax.core.errors import DataError
from kvgg_jax.core.extras import require
from kvgg_jax.core.places import Place, Url
from kvgg_jax.core.text import escape_name
from kvgg_jax.data.columns import Categories
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
from kvgg_jax.data.sources.tfrecord import TOGETHER, TFRecords

SCHEME = "tfds:"


class TensorFlowDataSet(DataSet):
    """Images of `tfds:NAME`, `tfds:NAME/CONFIG:VERSION`, or `tfds:FOLDER`, each with `@SPLIT` for
    one split. Nothing is downloaded."""

    def splits(self) -> Mapping[str, Photos]:
        """As `DataSet` says. All records are read once: there the labels are."""
        return _open(self.root)


def is_tfds(where: Place) -> bool:
    """Whether a place is a data set by its name."""
    return is_data_set(where, SCHEME)


def scan_tfds(root: Url, *, to_train: bool = True) -> Samples:
    """As `scan_data_set`."""
    return scan_data_set(TensorFlowDataSet(root), to_train=to_train)


@functools.lru_cache(maxsize=4)
def _open(root: Url) -> dict[str, Photos]:
    """The splits of a data set in their order. Raises DataError."""
    require("tfds", by=SCHEME)
    place, wanted = split_address(root)
    builder = _find(root, place)
    image, label = _columns(root, builder.info)
    splits = choose_splits(root, builder.info.splits, wanted)
    return {name: _photos(root, builder, name, image, label) for name in splits}


def _find(root: Url, place: str) -> Any:
    """What reads the data set. Raises DataError unless it is prepared; asks no network."""
    import tensorflow_datasets as tfds
    from tensorflow_datasets.core.read_only_builder import builder_from_files
    from tensorflow_datasets.core.utils import file_utils

    if os.path.isdir(place):
        try:
            return tfds.builder_from_directory(place)
        except Exception as error:  # nearly any type
            raise DataError(
                f"{escape_name(root)} is not a prepared data set ({reason_of(error)}). Give the "
                "folder that holds dataset_info.json, such as tfds:DIR/beans/0.1.0"
            ) from None
    try:
        return builder_from_files(place)
    except tfds.core.DatasetNotFoundError:
        folders = ", ".join(map(escape_name, file_utils.list_data_dirs(given_data_dir=None)))
        reason = f"it is not in {folders}"
    except Exception as error:  # of a name that cannot be; the next lines explain names
        reason = escape_name(str(error).partition("\n")[0].rstrip("."))
    load = f"import tensorflow_datasets as tfds; tfds.load('{escape_name(place)}')"
    raise DataError(
        f"{escape_name(root)} is not prepared on this machine: {reason}. Prepare it where there is "
        f'a network: python -c "{load}". One of several configurations is tfds:NAME/CONFIG. '
        "Without a network: copy the prepared folder, and give it: tfds:FOLDER"
    )


def _columns(root: Url, info: Any) -> tuple[str, str]:
    """Names of the features with the image and the label: those that the data set names for
    supervised learning, else the first. Raises DataError where one is missing."""
    from tensorflow_datasets import features as kinds

    found = info.features
    features = dict(found.items()) if isinstance(found, kinds.FeaturesDict) else {}
    named = [key for key in info.supervised_keys or () if isinstance(key, str) and key in features]
    names = dict.fromkeys([*named, *features])
    images = [
        name
        for name in names
        if isinstance(features[name], kinds.Image) and features[name].np_dtype != np.float32
    ]
    labels = [name for name in names if isinstance(features[name], kinds.ClassLabel)]
    if not images or not labels:
        raise DataError(
            f"{escape_name(root)} has the features {', '.join(map(escape_name, features))}. "
            "Expected one of type Image of whole numbers, and one of type ClassLabel."
        )
    return images[0], labels[0]


def _photos(root: Url, builder: Any, split: str, image: str, label: str) -> Photos:
    """Those of one split. Raises DataError for damaged files and missing labels."""
    from tensorflow_datasets.proto import tf_example_pb2

    labels = array("q")

    def values(record: bytes) -> Any:
        return tf_example_pb2.Example.FromString(record).features.feature

    def see(record: bytes) -> None:
        labels.append(values(record)[label].int64_list.value[0])

    try:
        records = _records(builder, split, see)
        if len(labels) != builder.info.splits[split].num_examples:
            raise ValueError(f"{len(labels):,} photos in place of those of dataset_info.json")
    except Exception as error:  # nearly any type
        raise DataError(
            f"{escape_name(root)}: the split {escape_name(split)} cannot be read "
            f"({reason_of(error)}). Remove {escape_name(builder.data_dir)} and prepare it again, "
            "or copy it again."
        ) from error
    check_labels(root, sum(number < 0 for number in labels), len(labels), split)
    classes = Categories.of(map(builder.info.features[label].int2str, labels))
    return Photos(classes, lambda number: values(records[number])[image].bytes_list.value[0])


def _records(builder: Any, split: str, see: Any) -> Any:
    """The records of a split by number; `see` is called with each, in order."""
    from tensorflow_datasets.core.decode import DeserializeMethod
    from tensorflow_datasets.core.file_adapters import FileFormat

    if not builder.info.available_file_formats() & FileFormat.with_random_access():
        files = [Path(os.fspath(file)) for file in builder.info.splits[split].filepaths]
        return TFRecords(files, see)
    raw = DeserializeMethod.RAW_BYTES
    records = builder.as_data_source(split, deserialize_method=raw)
    for start in range(0, len(records), TOGETHER):
        for record in records.__getitems__(range(start, min(start + TOGETHER, len(records)))):
            see(record)
    return records
