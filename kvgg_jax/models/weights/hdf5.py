"""The layouts in which Keras has kept weights in HDF5: of Keras 3, and of Keras 1 and 2.

Keras' own loader does not take their place. It needs the network of the file, passes over layers of
other names in silence, and takes NaN, whole numbers and two layers of one name. `load_model` builds
whatever the file describes before an array is looked at, and importing Keras takes longer than all
of this.
"""

from __future__ import annotations

import itertools
import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import h5py
import numpy as np
from numpy.typing import NDArray

from kvgg_jax.core.text import escape_name

MOST = 10_000  # entries of a file; NASNet-Large, the largest of Keras, has 4,619
TOO_MANY = f" has more than {MOST:,} entries, which no network of Keras has."
MAX_CONFIG = 2**24  # bytes of a model's configuration; VGG16's has 20,000
ORDER = (
    "depthwise_kernel",
    "pointwise_kernel",
    "kernel",
    "bias",
    "gamma",
    "beta",
    "moving_mean",
    "moving_variance",
)
TRUSTED = {"keras", "kvgg_jax", "builtins", "None"}  # modules that a configuration may name


class Refused(Exception):
    """Why a file is refused; whoever opened it puts its name before the text."""


@dataclass(frozen=True, slots=True)
class Stored:
    """One array of a file: its shape, and the way to its values."""

    shape: tuple[int, ...]
    read: Callable[[], NDArray[np.float32]]
    """Raises Refused for values that are not finite floats, or are not all there."""


Layers: TypeAlias = Mapping[str, tuple[Stored, ...]]
"""Layer name -> its arrays, in Keras' order: kernel, bias; or gamma, beta, mean, variance."""


def rank(name: str) -> tuple[int, str]:
    """What sorts the variables of a layer as Keras does."""
    return (ORDER.index(name) if name in ORDER else len(ORDER)), name


def finite(values: NDArray[Any], name: str) -> NDArray[np.float32]:
    """The values in float32. Raises Refused when one is NaN or infinite."""
    array = np.asarray(values, np.float32)
    if not np.isfinite(array).all():
        raise Refused(f": {escape_name(name)!r} has values that are not finite.")
    return array


def refuse_code(config: str | bytes) -> None:
    """Raises Refused for a model with code in its configuration, as Keras' safe mode does.

    The configuration itself is not used: only the arrays are.
    """
    left = [json.loads(config)]
    while left:
        value = left.pop()
        if isinstance(value, dict):
            kind, module = str(value.get("class_name")), str(value.get("module"))
            if kind in ("Lambda", "__lambda__") or module.split(".", 1)[0] not in TRUSTED:
                raise Refused(
                    f" has code in its configuration ({escape_name(module)}, {escape_name(kind)}). "
                    "It is not run, and the file is refused. Where you trust it, save the weights "
                    "alone: model.save_weights('NAME.weights.h5')."
                )
            left.extend(value.values())
        elif isinstance(value, list):
            left.extend(value)


def from_hdf5(file: h5py.File) -> Layers:
    """The layers in an open file. Raises Refused, and whatever h5py raises for wrong bytes."""
    names = _entries(file)
    if "model_config" in file.attrs:
        refuse_code(_texts(file, "model_config")[0])
    if "layers" in names:
        return _by_group(file, names)
    return _by_list(file, "model_weights/" if "model_weights" in names else "", names)


def _entries(file: h5py.File) -> set[str]:
    """The names of all that is in the file itself; one that leads elsewhere is refused."""
    names: set[str] = set()

    def visit(name: str, link: object) -> str | None:  # what it returns ends the walk
        if not isinstance(link, h5py.HardLink):
            return f" has a link, {escape_name(name)!r}, which Keras never has."
        names.add(name)
        return TOO_MANY if len(names) > MOST else None

    if fault := file.visititems_links(visit):
        raise Refused(fault)
    return names


def _by_group(file: h5py.File, names: set[str]) -> Layers:
    """Keras 3: `layers/conv2d_1/vars` bears the layer's name and holds its arrays as 0, 1, ...

    A layer inside another, as `layers/mha/query_dense/vars`, is named with that one: `mha/query`.
    """
    found: dict[str, tuple[Stored, ...]] = {}
    for place in sorted(names, key=_by_number):
        if not place.startswith("layers/") or not place.endswith("/vars"):
            continue
        group = file[place]
        numbers = sorted(int(key) for key in group if key.isdecimal())
        if numbers and "name" in group.attrs:
            name = "/".join(_names_above(file, place, names))
            if name in found:
                raise Refused(f" has two layers called {escape_name(name)!r}.")
            found[name] = tuple(_stored(group[str(n)]) for n in numbers)
    return found


def _by_number(place: str) -> list[tuple[str, int]]:
    """What sorts `conv2d_10` after `conv2d_9`: Keras counts the layers of a class."""
    parts = re.findall(r"(\D*)(\d*)", place)
    return [(text, int(number or 0)) for text, number in parts]


def _names_above(file: h5py.File, place: str, names: set[str]) -> Iterator[str]:
    """The names of the layers around an array, and of its own, from the last network on."""
    parts = place.split("/")[:-1]
    network = len(parts) - parts[::-1].index("layers")
    for end in range(network + 1, len(parts) + 1):
        variables = "/".join([*parts[:end], "vars"])
        if variables in names and "name" in file[variables].attrs:
            yield _texts(file[variables], "name")[0]


def _by_list(file: h5py.File, base: str, names: set[str]) -> Layers:
    """Keras 1 and 2: each layer's group lists its arrays, as in Keras Applications' files.

    The layers have the order of the network where the file lists them. A network inside another
    lists the arrays of all its layers, as `block1_conv1/kernel`.
    """
    found: dict[str, list[Stored]] = {}
    top = file[base] if base else file
    for layer in _listed(top, "layer_names") or sorted(top):
        group = top[layer] if f"{base}{layer}" in names else None
        for text in _listed(group, "weight_names") if isinstance(group, h5py.Group) else ():
            if (name := f"{base}{layer}/{text}") not in names:
                raise Refused(f" lists {escape_name(name)!r} and does not have it.")
            found.setdefault(_owner(layer, text), []).append(_stored(file[name]))
    return {name: tuple(arrays) for name, arrays in found.items()}


def _owner(layer: str, array: str) -> str:
    """The layer that an array is of: one of a network inside `layer`, or that itself."""
    parts = array.removeprefix(f"{layer}/").split("/")
    return parts[-2] if len(parts) > 1 else layer


def _listed(group: h5py.Group, key: str) -> list[str]:
    """A list of texts, which Keras cuts in parts where it is long: `key0`, `key1`, ..."""
    if key in group.attrs:
        return _texts(group, key)
    parts = itertools.takewhile(group.attrs.__contains__, (f"{key}{n}" for n in range(MOST)))
    return [text for part in parts for text in _texts(group, part)]


def _stored(dataset: object) -> Stored:
    if not isinstance(dataset, h5py.Dataset) or dataset.shape is None:
        raise Refused(" has something else where an array should be.")
    name = escape_name(dataset.name)
    if dataset.external or dataset.is_virtual:
        raise Refused(
            f" has an array, {name!r}, whose values are in another file, which Keras never has."
        )

    def read() -> NDArray[np.float32]:
        if dataset.chunks is not None:
            raise Refused(f": {name!r} is in pieces or compressed, as Keras never does.")
        if dataset.dtype.kind != "f":
            raise Refused(f": {name!r} is {dataset.dtype}, not floats.")
        if dataset.id.get_storage_size() != dataset.size * dataset.dtype.itemsize:
            raise Refused(f": {name!r} is not all there.")
        return finite(dataset[()], dataset.name)

    return Stored(dataset.shape, read)


def _texts(group: h5py.Group, key: str) -> list[str]:
    """An attribute that is a text, or a list of texts."""
    kept = group.attrs.get_id(key)
    count = math.prod(kept.shape or ())
    if count > MOST or count * kept.dtype.itemsize > MAX_CONFIG:
        raise ValueError("an attribute of impossible size")
    values = np.ravel(group.attrs[key]).tolist()
    return [v.decode() if isinstance(v, bytes) else str(v) for v in values]
