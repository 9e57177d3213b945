"""What the tests of weight files share."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from kvgg_jax.core.errors import WeightsError
from kvgg_jax.models.weights.files import open_weights
from support.networks import Arrays

DAMAGED = "FILE is damaged or cut short, so its weights cannot be read. Fetch it again."


def read(file: Path) -> Arrays:
    with open_weights(file) as layers:
        return {name: [one.read() for one in arrays] for name, arrays in layers.items()}


class Work:
    """Entries of HDF5 files that were visited, and bytes of arrays and archives asked for."""

    visited = asked = 0


@contextmanager
def work() -> Iterator[Work]:
    """That which is done within the block."""
    done = Work()
    walk, values = h5py.Group.visititems_links, h5py.Dataset.__getitem__
    member = zipfile.ZipFile.read

    def walking(group: h5py.Group, visit: Callable[..., Any]) -> Any:
        def counting(*entry: Any) -> Any:
            done.visited += 1
            return visit(*entry)

        return walk(group, counting)

    def array(dataset: h5py.Dataset, *args: Any) -> Any:
        done.asked += dataset.size * dataset.dtype.itemsize
        return values(dataset, *args)

    def part(archive: zipfile.ZipFile, name: str) -> bytes:
        done.asked += archive.getinfo(name).file_size
        return member(archive, name)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(h5py.Group, "visititems_links", walking)
        patch.setattr(h5py.Dataset, "__getitem__", array)
        patch.setattr(zipfile.ZipFile, "read", part)
        yield done


def refusal(file: Path) -> str:
    """What is said of a file that is refused, when it is opened or when all of it is read.

    No more entries are visited than a network may have, nor more bytes read than the file has.
    """
    with work() as done, pytest.raises(WeightsError) as caught:
        read(file)
    assert done.visited <= 10_001
    assert done.asked <= (file.stat().st_size if file.is_file() else 0)
    text = str(caught.value)
    assert str(file) in text
    return text.replace(str(file), "FILE")


def assert_same(found: Arrays, expected: Arrays) -> None:
    assert {name: len(a) for name, a in found.items()} == {n: len(a) for n, a in expected.items()}
    for name, values in expected.items():
        for left, right in zip(found[name], values, strict=True):
            np.testing.assert_array_equal(left, right)


def edited(file: Path, edit: Callable[[h5py.File], Any]) -> Path:
    with h5py.File(file, "r+") as f:
        edit(f)
    return file
