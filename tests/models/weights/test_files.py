"""Reading weight files: every layout that Keras writes, and what is refused of a hostile one."""

from __future__ import annotations

import importlib.metadata
import json
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kvgg_jax.core.errors import MissingExtra, WeightsError
from support.networks import arrays_of, stock_network
from support.weight_files import DAMAGED, assert_same, edited, read, refusal

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation")  # of Keras, as it saves


# What is read


@pytest.mark.parametrize("kind", [".weights.h5", ".keras", ".h5"])
def test_each_layout_that_keras_writes_is_read_to_the_bit(network, sound, kind):
    """By the names of the layers, in Keras' order of their arrays."""
    assert_same(read(sound[kind]), arrays_of(network))


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
    """Whatever its name: a page in place of a download, a pickle, an array of objects."""
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
    """Its header has the length of each array."""
    numpy = pytest.importorskip("safetensors.numpy", reason="the extra safetensors is not here")
    file = tmp_path / "x.safetensors"
    numpy.save_file({"block1_conv1/kernel": np.zeros((3, 3, 3, 8), np.float32)}, file)
    whole = file.read_bytes()
    for content in (whole[:-4], whole[:40], b"\xff" * 7 + b"\x7f{"):
        file.write_bytes(content)
        assert refusal(file) == DAMAGED


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


TWICE = "FILE has two parts of one name, or more parts than a model has."


@pytest.mark.parametrize("name", ["config.json", "model.weights.h5"])
@pytest.mark.filterwarnings("ignore:Duplicate name")  # of zipfile, as it writes
def test_an_archive_with_two_parts_of_one_name_is_refused(copy, name):
    """Of which one would be checked and the other read, here or by another program."""
    file = copy(".keras")
    with zipfile.ZipFile(file, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, b" " * 10**6)
    assert refusal(file) == TWICE


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_no_part_of_an_archive_goes_unchecked(copy):
    """Not the one behind thousands of others either, which may unpack to any size."""
    file = copy(".keras")
    with zipfile.ZipFile(file, "a", zipfile.ZIP_DEFLATED) as archive:
        for number in range(2000):
            archive.writestr(zipfile.ZipInfo(str(number)), b"")
        archive.writestr("config.json", b" " * 10**6)
    assert refusal(file) == TWICE


def test_arrays_of_numpy_are_not_weights(tmp_path):
    """Those of objects would be pickles."""
    file = tmp_path / "x.npz"
    np.savez(file, kernel=np.array([{"a": 1}], object))
    assert refusal(file) == "FILE is no model saved by Keras: it has no model.weights.h5."


def safetensors(file: Path, header: bytes, content: bytes = bytes(8)) -> Path:
    pytest.importorskip("safetensors", reason="the extra safetensors is not here")
    file.write_bytes(len(header).to_bytes(8, "little") + header + content)
    return file


def entry(shape: list[Any], start: int, end: int) -> dict[str, Any]:
    return {"dtype": "F32", "shape": shape, "data_offsets": [start, end]}


@pytest.mark.parametrize(
    "arrays",
    [
        {"a/kernel": entry([2], 0, 8), "b/kernel": entry([1], 4, 8)},
        {"a/kernel": entry([-2], 0, 8)},
        {"a/kernel": entry([2], -8, 0)},
        {"a/kernel": entry([2**40], 0, 2**42)},
        {"a/kernel": entry([2**40, 2**40], 0, 8)},
        {"a/kernel": entry([3], 0, 8)},
        {"a/kernel": entry([1.5], 0, 8)},
        {"a/kernel": "evil"},
    ],
    ids=["overlap", "shape", "offset", "size", "product", "length", "half", "text"],
)
def test_a_hostile_header_of_safetensors_is_refused(tmp_path, arrays):
    """Before anything of the size that it claims is asked for."""
    assert refusal(safetensors(tmp_path / "x", json.dumps(arrays).encode())) == DAMAGED


def test_a_header_of_safetensors_that_is_huge_is_refused(tmp_path):
    """A gigabyte of it, which takes no room on the disk; and thousands of arrays."""
    file = safetensors(tmp_path / "x", b"{")
    with file.open("r+b") as f:
        f.write((2**30).to_bytes(8, "little"))
        f.truncate(2**30 + 100)
    assert refusal(file) == DAMAGED
    many = {f"{n}/kernel": entry([0], 0, 0) for n in range(10_001)}
    assert refusal(safetensors(file, json.dumps(many).encode(), b"")) == (
        "FILE has more than 10,000 entries, which no network of Keras has."
    )


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
