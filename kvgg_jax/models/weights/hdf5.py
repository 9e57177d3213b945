"""The layouts in which Keras has kept weights in HDF5: of Keras 3, and of Keras 1 and 2."""

from __future__ import annotations

import math
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from kvgg_jax.core.errors import WeightsError
from kvgg_jax.core.text import escape_name
from kvgg_jax.models.weights.arrays import (
    MAX_CONFIG,
    Layers,
    Stored,
    check_type,
    finite,
    named,
    refuse_code,
)

MOST = 2000  # entries of a file; VGG19 with Adam's slots has some 250


def from_hdf5(file: h5py.File, path: Path) -> Layers:
    """The layers in an open file, which is that of `path` or a part of it."""
    names = _entries(file, path)
    if "model_config" in file.attrs:
        refuse_code(_texts(file, "model_config")[0], path)
    if "layers" in names:
        return _by_group(file, names, path)
    base = "model_weights/" if "model_weights" in names else ""
    return _by_list(file, base, names, path)


def _entries(file: h5py.File, path: Path) -> set[str]:
    """The name of all that is in the file itself; one that leads elsewhere is refused."""
    names: set[str] = set()

    def visit(name: str, link: object) -> str | None:  # what it returns ends the walk
        if not isinstance(link, h5py.HardLink):
            return f"has a link, {escape_name(name)!r}, which Keras never has"
        names.add(name)
        return f"has more than {MOST:,} entries: no VGG network" if len(names) > MOST else None

    if fault := file.visititems_links(visit):
        raise WeightsError(f"{escape_name(path)} {fault}.")
    return names


def _by_group(file: h5py.File, names: set[str], path: Path) -> Layers:
    """Keras 3: `layers/conv2d_1/vars` bears the layer's name and holds its arrays as 0, 1, ..."""
    found: dict[str, tuple[Stored, ...]] = {}
    for name in sorted(names):
        if not name.startswith("layers/") or not name.endswith("/vars"):
            continue
        group = file[name]
        numbers = sorted(int(key) for key in group if key.isdecimal())
        if numbers and "name" in group.attrs:
            arrays = tuple(_stored(group[str(n)], path) for n in numbers)
            _add(found, _texts(group, "name")[0], arrays, path)
    return found


def _by_list(file: h5py.File, base: str, names: set[str], path: Path) -> Layers:
    """Keras 1 and 2: each layer's group lists its arrays, as in Keras Applications' files.

    A network inside of another lists the arrays of all its layers, as `block1_conv1/kernel`.
    """
    found: dict[str, list[Stored]] = {}
    for layer in sorted(name for name in names if name.rpartition("/")[0] == base.rstrip("/")):
        if not isinstance(file[layer], h5py.Group) or "weight_names" not in file[layer].attrs:
            continue
        for text in _texts(file[layer], "weight_names"):
            owner = text.split("/")[-2] if "/" in text else layer.removeprefix(base)
            if (name := f"{layer}/{text}") not in names:
                raise WeightsError(
                    f"{escape_name(path)} lists {escape_name(name)!r} and does not have it."
                )
            found.setdefault(owner, []).append(_stored(file[name], path))
    return {name: tuple(arrays) for name, arrays in found.items()}


def _stored(dataset: object, path: Path) -> Stored:
    if not isinstance(dataset, h5py.Dataset) or dataset.shape is None:
        raise WeightsError(f"{escape_name(path)} has something else where an array should be.")
    if dataset.external or dataset.is_virtual:
        raise WeightsError(
            f"{escape_name(path)} has an array, {escape_name(dataset.name)!r}, whose values "
            "are in another "
            "file, which Keras never has."
        )

    def read() -> NDArray[np.float32]:
        with named(path):
            if dataset.chunks is not None:
                raise WeightsError(
                    f"{escape_name(path)}: {escape_name(dataset.name)!r} is in pieces or "
                    "compressed, as Keras "
                    "never does."
                )
            check_type(dataset.dtype, dataset.name, path)
            if dataset.id.get_storage_size() != dataset.size * dataset.dtype.itemsize:
                raise WeightsError(
                    f"{escape_name(path)}: {escape_name(dataset.name)!r} is not all there."
                )
            return finite(dataset[()], dataset.name, path)

    return Stored(dataset.shape, read)


def _add(
    found: dict[str, tuple[Stored, ...]], name: str, arrays: tuple[Stored, ...], path: Path
) -> None:
    if name in found:
        raise WeightsError(f"{escape_name(path)} has two layers called {escape_name(name)!r}.")
    found[name] = arrays


def _texts(group: h5py.Group, key: str) -> list[str]:
    """An attribute that is a text, or a list of some."""
    kept = group.attrs.get_id(key)
    count = math.prod(kept.shape or ())
    if count > MOST or count * kept.dtype.itemsize > MAX_CONFIG:
        raise ValueError("an attribute of impossible size")
    values = np.ravel(group.attrs[key]).tolist()
    return [v.decode() if isinstance(v, bytes) else str(v) for v in values]
