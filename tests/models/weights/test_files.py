"""Reading weight files: every layout that Keras writes, and what is refused of a hostile one."""

from __future__ import annotations

import importlib.metadata
import json
import os
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from kvgg_jax.core.errors import MissingExtra, WeightsError
from kvgg_jax.core.keras_gate import keras
from kvgg_jax.models.weights.files import open_weights
from support.networks import Arrays, arrays_of, stock_network, write_applications

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation")  # of Keras, as it saves


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
    assert done.visited <= 2001
    assert done.asked <= (file.stat().st_size if file.is_file() else 0)
    text = str(caught.value)
    assert str(file) in text
    return text.replace(str(file), "FILE")


@pytest.fixture(scope="module")
def network() -> keras.Model:
    return stock_network()


@pytest.fixture(scope="module")
def sound(network: keras.Model, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One file of each kind, written by Keras itself; to be copied."""
    folder = tmp_path_factory.mktemp("sound")
    files = {kind: folder / f"sound{kind}" for kind in (".weights.h5", ".keras", ".h5")}
    network.save_weights(files[".weights.h5"])
    network.save(files[".keras"])
    network.save(files[".h5"])
    return files


@pytest.fixture
def copy(sound: dict[str, Path], tmp_path: Path) -> Callable[[str], Path]:
    def make(kind: str) -> Path:
        file = tmp_path / f"x{kind}"
        file.write_bytes(sound[kind].read_bytes())
        return file

    return make


def assert_same(found: Arrays, expected: Arrays) -> None:
    assert {name: len(a) for name, a in found.items()} == {n: len(a) for n, a in expected.items()}
    for name, values in expected.items():
        for left, right in zip(found[name], values, strict=True):
            np.testing.assert_array_equal(left, right)


# What is read


@pytest.mark.parametrize("kind", [".weights.h5", ".keras", ".h5"])
def test_each_layout_that_keras_writes_is_read_to_the_bit(network, sound, kind):
    """By the names of the layers, in Keras' order of their arrays."""
    assert_same(read(sound[kind]), arrays_of(network))


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


@pytest.mark.parametrize("separator", ["/", "."])
def test_safetensors_are_read_in_keras_order(tmp_path, separator):
    """The format orders names by the alphabet; Keras puts the kernel first, gamma before beta."""
    numpy = pytest.importorskip("safetensors.numpy", reason="the extra safetensors is not here")
    inner = stock_network(batch_norm=True)
    variables = [variable for layer in inner.layers for variable in layer.weights]
    named = {v.path.replace("/", separator): np.asarray(v.value) for v in variables}
    numpy.save_file(named, tmp_path / "x.safetensors")
    assert_same(read(tmp_path / "x.safetensors"), arrays_of(inner))


def test_safetensors_without_its_package_say_how_to_get_it(tmp_path, monkeypatch):
    """It is an extra."""

    def absent(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", absent)
    file = tmp_path / "x.safetensors"
    file.write_bytes(b"\x02\0\0\0\0\0\0\0{}")
    with pytest.raises(MissingExtra) as caught:
        read(file)
    assert str(caught.value) == (
        f"{file} needs safetensors, which is not installed. "
        'Add it: pip install "kvgg_jax[safetensors]"'
    )


# What is refused


DAMAGED = "FILE is damaged or cut short, so its weights cannot be read. Fetch it again."
UNKNOWN = (
    "FILE is no file of weights. Known are Keras' .weights.h5, .h5 and .keras, and .safetensors."
)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"<!DOCTYPE html><html>404</html>",
        b"\x80\x04\x95",
        b"\x93NUMPY\x01\0",
        bytes(range(128, 192)),
    ],
    ids=["empty", "HTML", "pickle", "npy", "noise"],
)
def test_a_file_of_another_kind_is_refused(tmp_path, content):
    """Whatever its name says: a page in place of a download, a pickle, an array of objects."""
    (tmp_path / "x.weights.h5").write_bytes(content)
    assert refusal(tmp_path / "x.weights.h5") == UNKNOWN


def test_what_is_no_file_is_not_waited_for(tmp_path):
    """A pipe, a folder, nothing."""
    os.mkfifo(tmp_path / "x.h5")
    assert refusal(tmp_path / "x.h5") == "FILE is not a file."
    assert refusal(tmp_path) == "FILE is not a file."
    assert refusal(tmp_path / "y.h5") == "Cannot read FILE: No such file or directory."


@pytest.mark.parametrize("kind", [".weights.h5", ".keras", ".h5"])
@pytest.mark.parametrize("share", [0.02, 0.5, 0.99])
def test_a_truncated_file_is_refused(copy, kind, share):
    """At any place."""
    file = copy(kind)
    content = file.read_bytes()
    file.write_bytes(content[: int(len(content) * share)])
    assert refusal(file) == DAMAGED


def test_a_truncated_safetensors_file_is_refused(tmp_path):
    """Its header says how long it must be."""
    numpy = pytest.importorskip("safetensors.numpy", reason="the extra safetensors is not here")
    file = tmp_path / "x.safetensors"
    numpy.save_file({"block1_conv1/kernel": np.zeros((3, 3, 3, 8), np.float32)}, file)
    whole = file.read_bytes()
    for content in (whole[:-4], whole[:40], b"\xff" * 7 + b"\x7f{"):
        file.write_bytes(content)
        assert refusal(file) == DAMAGED


def edited(file: Path, edit: Callable[[h5py.File], Any]) -> Path:
    with h5py.File(file, "r+") as f:
        edit(f)
    return file


def replace(f: h5py.File, name: str, **kwargs: Any) -> None:
    del f[name]
    f.create_dataset(name, **kwargs)


KERNEL = "layers/conv2d/vars/0"


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
        lambda f: f["layers/conv2d/vars"].attrs.create("name", np.zeros(20_000, "S1")),
        DAMAGED,
    ),
    "thousands of groups": (
        lambda f: [f.create_group(f"a/{n}") for n in range(2000)],
        "FILE has more than 2,000 entries: no VGG network.",
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


def lambda_config(text: str = "__import__('os').mkdir('evaluated')") -> dict[str, Any]:
    code = {"class_name": "__lambda__", "config": {"code": text}}
    layer = {"module": "keras.layers", "class_name": "Lambda", "config": {"function": code}}
    return {"module": "keras", "class_name": "Sequential", "config": {"layers": [layer]}}


def gadget_config() -> dict[str, Any]:
    gadget = {"module": "os", "class_name": "mkdir", "config": "evaluated"}
    return {"module": "keras.layers", "class_name": "Dense", "config": {"activation": gadget}}


@pytest.mark.parametrize("kind", [".keras", ".h5"])
@pytest.mark.parametrize(
    ("config", "what"), [(lambda_config(), "keras.layers, Lambda"), (gadget_config(), "os, mkdir")]
)
def test_a_model_with_code_in_it_is_refused_and_nothing_run(
    copy, tmp_path, monkeypatch, kind, config, what
):
    """As Keras' safe mode refuses it, though the configuration would not be used anyway."""
    monkeypatch.chdir(tmp_path)
    file, text = copy(kind), json.dumps(config)
    if kind == ".keras":
        repack(file, **{"config.json": text.encode()})
    else:
        edited(file, lambda f: f.attrs.create("model_config", text))
    assert refusal(file) == (
        f"FILE has code in its configuration ({what}). It is not run, and the file is refused. "
        "Where you trust it, save the weights alone: model.save_weights('NAME.weights.h5')."
    )
    assert not Path("evaluated").exists()


def repack(
    file: Path, *, without: str = "", how: int = zipfile.ZIP_STORED, **members: bytes
) -> None:
    """Write a `.keras` archive anew, with other members."""
    with zipfile.ZipFile(file) as archive:
        old = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(file, "w", how) as archive:
        for name, content in {**old, **members}.items():
            if name != without:
                archive.writestr(name, content)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"../evil.py": b""}, "FILE holds '../evil.py', which leaves its folder."),
        ({"/etc/evil": b""}, "FILE holds '/etc/evil', which leaves its folder."),
        ({"..\\evil": b""}, r"FILE holds '..\\evil', which leaves its folder."),
        ({"model.weights.h5": b"x" * 99}, DAMAGED),
        ({"config.json": b"{" * 99}, DAMAGED),
        ({"config.json": b"[" * 10**6}, DAMAGED),
        ({"config.json": b" " * (2**24 + 1)}, "FILE has a config.json of impossible size."),
        ({"how": zipfile.ZIP_DEFLATED}, "FILE is compressed, which Keras never does."),
        (
            {"without": "model.weights.h5"},
            "FILE is no model saved by Keras: it has no model.weights.h5.",
        ),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_hostile_archive_is_refused(copy, change, message):
    """Nothing is unpacked under a name of the archive's choice, nor what may unpack to any size."""
    file = copy(".keras")
    repack(file, **change)
    assert refusal(file) == message


def test_a_type_of_numbers_that_numpy_lacks_is_named(tmp_path):
    """A whole file, so to fetch it again would not help."""
    pytest.importorskip("safetensors", reason="the extra safetensors is not here")
    entry = {"dtype": "BF16", "shape": [2], "data_offsets": [0, 4]}
    header = json.dumps({"fc1/kernel": entry}).encode()
    file = tmp_path / "x.safetensors"
    file.write_bytes(len(header).to_bytes(8, "little") + header + bytes(4))
    with pytest.raises(WeightsError) as caught:
        read(file)
    assert str(caught.value) == (
        f"{file}: fc1/kernel is BF16, which is not read here. Save it as float32."
    )
