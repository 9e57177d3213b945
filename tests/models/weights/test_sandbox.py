"""Weights from a file, read by a process of its own."""

from __future__ import annotations

import errno
import os
import resource
import shlex
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from kvgg_jax.core.errors import WeightsError
from kvgg_jax.models.weights import files, sandbox
from kvgg_jax.models.weights.sandbox import Shapes, read_weights
from support.networks import Arrays, arrays_of, stock_network, write_applications


@pytest.fixture(scope="module")
def arrays() -> Arrays:
    return arrays_of(stock_network())


@pytest.fixture
def file(arrays: Arrays, tmp_path: Path) -> Path:
    return write_applications(tmp_path / "x.h5", arrays)


def shapes(arrays: Arrays) -> Shapes:
    return {name: [one.shape for one in layer] for name, layer in arrays.items()}


def test_arrays_of_the_wanted_shapes_are_returned_with_the_shapes_of_all(arrays, file):
    """Nothing is read of a layer that would not fit."""
    wanted = {**shapes(arrays), "fc1": [(1, 2), (2,)], "fc9": [(2, 2)]}
    found = read_weights(file, wanted)
    assert found.shapes == shapes(arrays)
    assert found.arrays.keys() == arrays.keys() - {"fc1"}
    for name, layer in found.arrays.items():
        for left, right in zip(layer, arrays[name], strict=True):
            np.testing.assert_array_equal(left, right)


def test_the_reader_reports_why_it_refuses_a_file(tmp_path):
    """Its message is that of the error."""
    page = tmp_path / "-page.h5"
    page.write_text("<html>")
    with pytest.raises(WeightsError) as caught:
        read_weights(page, {})
    assert str(caught.value).startswith(f"{page} is no file of weights. Known are ")
    with pytest.raises(WeightsError) as caught:
        read_weights(tmp_path / "none.h5", {})
    assert str(caught.value) == f"Cannot read {tmp_path / 'none.h5'}: No such file or directory."


@pytest.mark.parametrize("harm", ["os.abort()", "os.kill(os.getpid(), 11)", "1 / 0", "os._exit(9)"])
def test_a_reader_that_crashes_is_an_error_with_the_name_of_the_file(
    file, tmp_path, monkeypatch, harm
):
    """As the HDF5 library does with some wrong bytes."""
    (tmp_path / "crash.py").write_text(f"import os; {harm}")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(files, "__name__", "crash")
    with pytest.raises(WeightsError) as caught:
        read_weights(file, {})
    assert str(caught.value) == (
        f"{file} cannot be read as weights: it is damaged, or made to do harm."
    )


@pytest.mark.parametrize(("limit", "value"), [("MEMORY", 10**6), ("SECONDS", 0)])
def test_the_readers_time_and_memory_are_bounded(arrays, file, monkeypatch, limit, value):
    """A file that takes more is refused; without a limit it would be read."""
    monkeypatch.setattr(sandbox, limit, value)
    many = {name: arrays[name] for name in ("block4_conv1", "block5_conv1")}
    if limit == "SECONDS":  # of processor time, at which the system looks once a second
        slow = "    import time\n    while time.process_time() < 30:\n        pass\n"
        end = "    os._exit(main())"
        code = Path(files.__file__).read_text()
        assert end in code
        (file.parent / "slow.py").write_text(code.replace(end, slow + end))
        monkeypatch.syspath_prepend(file.parent)
        monkeypatch.setattr(files, "__name__", "slow")
    with pytest.raises(WeightsError, match="made to do harm"):
        read_weights(file, shapes(many))


# Limits of this process, which are no fault of the file


def limited(monkeypatch: pytest.MonkeyPatch, folder: Path, ulimit: str) -> None:
    """Has the reader, which is a process of its own, run under a limit of the shell."""
    shell = folder / "python"
    shell.write_text(f'#!/bin/sh\n{ulimit}\nexec {shlex.quote(sys.executable)} "$@"\n')
    shell.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(shell))


def inherited(monkeypatch: pytest.MonkeyPatch, kind: int, value: int) -> None:
    """Has this process know of that limit, as if the shell had started it under it."""
    known = resource.getrlimit
    monkeypatch.setattr(
        resource, "getrlimit", lambda one: (value, value) if one == kind else known(one)
    )


def fault(file: Path, wanted: Shapes) -> str:
    with pytest.raises(WeightsError) as caught:
        read_weights(file, wanted)
    return str(caught.value).replace(str(file), "FILE")


@pytest.mark.parametrize("kib", [60_000, 200_000])
def test_a_limit_on_memory_is_not_called_damage(arrays, file, tmp_path, monkeypatch, kib):
    """Neither where the reader cannot start, nor where it cannot hold what it reads."""
    limited(monkeypatch, tmp_path, f"ulimit -v {kib}")
    inherited(monkeypatch, resource.RLIMIT_AS, kib * 1024)
    large = np.zeros((128, 2**18), np.float32)
    write_applications(file, {"fc1": [large, large[0]]})
    needed = sandbox.MEMORY + 4 * file.stat().st_size
    assert fault(file, {"fc1": [large.shape, large[0].shape]}) == (
        f"Reading FILE takes more than the {kib * 1024 / 1e6:.0f} MB of memory that this process "
        f"may use. Raise the limit: ulimit -v {needed // 1024}"
    )


def test_a_limit_on_processor_time_is_not_called_damage(file, tmp_path, monkeypatch):
    """A sound file takes less than a second, and a limit may leave less than that."""
    limited(monkeypatch, tmp_path, "ulimit -t 1")
    inherited(monkeypatch, resource.RLIMIT_CPU, 1)
    (tmp_path / "slow.py").write_text("while True:\n    pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(files, "__name__", "slow")
    assert fault(file, {}) == (
        "Reading FILE takes more than the 1 s of processor time that this process may use. "
        "Raise the limit: ulimit -t"
    )


@pytest.mark.parametrize("kind", [".h5", ".keras"])
@pytest.mark.filterwarnings("ignore:__array__ implementation")  # of Keras, as it saves
def test_a_full_disk_is_not_called_damage(arrays, copy, tmp_path, monkeypatch, kind):
    """Where the reader writes its answer, and where it unpacks an archive."""
    file = copy(kind)
    limited(monkeypatch, tmp_path, "ulimit -f 8")  # as if so many blocks were left
    assert fault(file, shapes(arrays)) == (
        f"{tempfile.gettempdir()} has no space for the temporary files that reading FILE needs. "
        "Free some, or set TMPDIR to a folder with space."
    )


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.ENOENT])
def test_no_folder_for_temporary_files_is_not_called_damage(file, monkeypatch, error):
    """`tempfile` has tried them all."""

    def full() -> None:
        raise OSError(error, "No usable temporary directory found")

    monkeypatch.setattr(sandbox.tempfile, "TemporaryFile", full)
    assert "has no space for the temporary files that reading FILE needs." in fault(file, {})


def test_a_reader_that_the_system_kills_is_not_called_damage(file, tmp_path, monkeypatch):
    """As it does to a process when memory runs out."""
    (tmp_path / "killed.py").write_text("import os; os.kill(os.getpid(), 9)")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(files, "__name__", "killed")
    assert fault(file, {}) == (
        "The system ended the process that read FILE, as it does when memory runs out. End other "
        "programs and try again."
    )


@pytest.mark.parametrize(
    ("limits", "expected"),
    [((-1, -1), 100), ((50, -1), 50), ((-1, 70), 70), ((50, 70), 50), ((200, 300), 100)],
)
def test_the_reader_never_asks_for_more_than_the_limits_it_has(monkeypatch, limits, expected):
    """The system would refuse that, for all users but root."""
    monkeypatch.setattr(resource, "getrlimit", lambda kind: limits)
    assert files.allowed(resource.RLIMIT_AS, 100) == expected


def spoilt(content: bytes, rng: np.random.Generator) -> bytes:
    wrong = bytearray(content)
    for place in rng.integers(0, len(wrong), 12):
        wrong[place] = rng.integers(256)
    return bytes(wrong)


def survive(file: Path, wanted: Shapes, *, tries: int, seed: int) -> int:
    """How many spoilt files were refused; those that were read have arrays of the right shapes."""
    content, rng, refused = file.read_bytes(), np.random.default_rng(seed), 0
    for _ in range(tries):
        file.write_bytes(spoilt(content, rng))
        try:
            found = read_weights(file, wanted).arrays
        except WeightsError:
            refused += 1
        else:
            assert {k: [a.shape for a in v] for k, v in found.items()}.items() <= wanted.items()
    return refused


def test_wrong_bytes_are_a_weights_error_or_values(arrays, file):
    """Never another exception, and never the end of this process."""
    survive(file, shapes(arrays), tries=3, seed=0)


@pytest.mark.faults
@pytest.mark.filterwarnings("ignore:__array__ implementation")  # of Keras, as it saves
@pytest.mark.parametrize("kind", [".weights.h5", ".keras", ".h5"])
def test_many_wrong_bytes_are_a_weights_error_or_values(arrays, tmp_path, kind):
    """The same, for each kind of file; in a `.keras` archive, checksums find nearly all of them."""
    network, file = stock_network(), tmp_path / f"x{kind}"
    save: Callable[[Path], None] = network.save_weights if "weights" in kind else network.save
    save(file)
    sound = read_weights(file, shapes(arrays)).arrays
    assert sound.keys() == arrays.keys()
    refused = survive(file, shapes(arrays), tries=300, seed=1)
    assert 0 < refused <= (300 if kind == ".keras" else 299)


def test_the_reader_imports_nothing_from_the_current_folder(file, monkeypatch):
    """A folder of somebody's photos may hold a json.py."""
    (file.parent / "json.py").write_text("import os; os.mkdir('evaluated')")
    monkeypatch.chdir(file.parent)
    read_weights(file, {})
    assert not os.path.isdir("evaluated")
