"""Keras' layouts in HDF5, and what is refused of a hostile file."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import h5py
import numpy as np
import pytest

from kvgg_jax.core.keras_gate import keras
from support.networks import arrays_of, stock_network, write_applications
from support.weight_files import DAMAGED, assert_same, edited, read, refusal

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation")  # of Keras, as it saves


def test_the_layout_of_keras_applications_is_read(network, tmp_path):
    """Its files are of Keras 1: a list of names in each group, none of them a path."""
    arrays = arrays_of(network)
    assert_same(read(write_applications(tmp_path / "x.h5", arrays)), arrays)


@pytest.mark.parametrize("kind", [".weights.h5", ".h5"])
def test_a_network_inside_of_another_is_read_too(network, tmp_path, kind):
    """As Keras' guide to transfer learning builds them, trained with an optimizer."""
    inner = stock_network(top=False, batch_norm=True)
    outer = keras.Sequential(
        [keras.Input((32, 32, 3)), inner, keras.layers.Flatten(), keras.layers.Dense(3)]
    )
    outer.compile("adam", "mse")
    outer.optimizer.build(outer.trainable_variables)
    file = tmp_path / f"x{kind}"
    outer.save_weights(file) if kind == ".weights.h5" else outer.save(file)
    found = read(file)
    (dense,) = (name for name in found if name.startswith("dense"))
    assert_same({k: v for k, v in found.items() if k != dense}, arrays_of(inner))


KERNEL = "layers/conv2d/vars/0"


def replace(f: h5py.File, name: str, **kwargs: Any) -> None:
    del f[name]
    f.create_dataset(name, **kwargs)


def link(f: h5py.File, to: object) -> None:
    del f[KERNEL]
    f[KERNEL] = to


LINK = f"FILE has a link, {KERNEL!r}, which Keras never has."
ELSEWHERE = (
    f"FILE has an array, {'/' + KERNEL!r}, whose values are in another file, which Keras never has."
)
SHAPE = (3, 3, 3, 8)


def virtual(f: h5py.File) -> None:
    layout = h5py.VirtualLayout(SHAPE, np.float32)
    layout[:] = h5py.VirtualSource("/etc/passwd", "x", SHAPE)
    del f[KERNEL]
    f.create_virtual_dataset(KERNEL, layout)


HOSTILE: dict[str, tuple[Callable[[h5py.File], Any], str]] = {
    "an external link": (lambda f: link(f, h5py.ExternalLink("/etc/passwd", "/")), LINK),
    "a soft link": (lambda f: link(f, h5py.SoftLink("/layers/conv2d_1/vars/0")), LINK),
    "a soft link to itself": (lambda f: link(f, h5py.SoftLink(f"/{KERNEL}")), LINK),
    "external storage": (
        lambda f: replace(
            f, KERNEL, shape=SHAPE, dtype="f4", external=[("/etc/passwd", 0, 10_000)]
        ),
        ELSEWHERE,
    ),
    "a virtual array": (virtual, ELSEWHERE),
    "a bomb of zeros": (
        lambda f: replace(
            f, KERNEL, shape=(10**6,) * 2, dtype="f4", chunks=(1000, 1000), compression="gzip"
        ),
        f"FILE: {'/' + KERNEL!r} is in pieces or compressed, as Keras never does.",
    ),
    "values that were never written": (
        lambda f: replace(f, KERNEL, shape=(10**6,) * 2, dtype="f4"),
        f"FILE: {'/' + KERNEL!r} is not all there.",
    ),
    "texts": (
        lambda f: replace(f, KERNEL, data=["a"] * 3),
        f"FILE: {'/' + KERNEL!r} is object, not floats.",
    ),
    "integers": (
        lambda f: replace(f, KERNEL, data=np.zeros(SHAPE, int)),
        f"FILE: {'/' + KERNEL!r} is int64, not floats.",
    ),
    "NaN": (
        lambda f: replace(f, KERNEL, data=np.full(SHAPE, np.nan, "f4")),
        f"FILE: {'/' + KERNEL!r} has values that are not finite.",
    ),
    "no values": (
        lambda f: replace(f, KERNEL, data=h5py.Empty("f4")),
        "FILE has something else where an array should be.",
    ),
    "a group": (
        lambda f: (f.move(KERNEL, "kernel"), f.create_group(KERNEL)),
        "FILE has something else where an array should be.",
    ),
    "two layers of one name": (
        lambda f: f["layers/conv2d_1/vars"].attrs.modify("name", "block1_conv1"),
        "FILE has two layers called 'block1_conv1'.",
    ),
    "a name of impossible size": (
        lambda f: f["layers/conv2d/vars"].attrs.create("name", np.zeros(10_001, "S1")),
        DAMAGED,
    ),
    "thousands of groups": (
        lambda f: [f.create_group(f"a/{n}") for n in range(10_000)],
        "FILE has more than 10,000 entries, which no network of Keras has.",
    ),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_hostile_hdf5_file_is_refused(copy, what):
    """Nothing of another file is read, and of this one no more than it has."""
    edit, message = HOSTILE[what]
    assert refusal(edited(copy(".weights.h5"), edit)) == message


def test_a_circle_of_groups_is_walked_once(copy, network):
    """A hard link may lead back to where it lies."""
    file = edited(copy(".weights.h5"), lambda f: f.__setitem__("layers/circle", f["layers"]))
    assert_same(read(file), arrays_of(network))


@pytest.mark.parametrize(
    "name", ["../../../secret", "/secret/x", "missing", "block1_conv1/../../x", ""]
)
def test_a_list_of_arrays_cannot_lead_out_of_its_file(copy, name):
    """A name is looked up among those that the file was found to have."""
    file = copy(".h5")
    edited(file, lambda f: f["model_weights/fc1"].attrs.create("weight_names", [name]))
    whole = f"model_weights/fc1/{name}"
    assert refusal(file) == f"FILE lists {whole!r} and does not have it."
