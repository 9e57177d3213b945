"""The library is built once and whole, and loaded only if nobody else can have written it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from kvgg_jax.core import process
from kvgg_jax.models.kernels.native import library
from kvgg_jax.models.kernels.native.library import Library, Missing, load
from support.runs import PATIENCE, ROOT

REAL = load()
needs_library = pytest.mark.skipif(
    not isinstance(REAL, Library), reason="native code cannot be built here"
)
LOAD = "from kvgg_jax.models.kernels.native.library import load; print(load())"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of an empty cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "kvgg_jax" / "native"


@pytest.fixture
def compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stands in for a compiler: it takes no time, and counts its calls in `calls` beside it."""
    file = tmp_path / "compiler"
    copy = f'for last; do :; done\ncp "{REAL.file}" "$last"' if isinstance(REAL, Library) else ""
    file.write_text(f'#!/bin/sh\necho >> "{tmp_path}/calls"\nsleep "${{WAIT:-0}}"\n{copy}\n')
    file.chmod(0o755)
    monkeypatch.setenv("CXX", str(file))
    return file


def calls(compiler: Path) -> int:
    return len(compiler.with_name("calls").read_text().splitlines())


def start() -> subprocess.Popen[str]:
    """A process that loads the library, and prints it."""
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", LOAD]
    return subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True)


@needs_library
def test_it_is_built_once_and_then_found(cache, compiler):
    built, found = load.__wrapped__(), load.__wrapped__()
    assert built.file == found.file
    assert built.file.parent == cache
    assert built.seconds > 0
    assert found.seconds == 0
    assert calls(compiler) == 1


@needs_library
def test_two_first_starts_at_once_build_it_once(cache, compiler, monkeypatch):
    monkeypatch.setenv("WAIT", "2")
    both = [start(), start()]
    outputs = [process.communicate(timeout=PATIENCE)[0] for process in both]
    assert all(text.startswith("Library(") for text in outputs)
    assert calls(compiler) == 1
    assert len(list(cache.glob("*.so"))) == 1


@needs_library
def test_a_killed_build_leaves_nothing_that_loads(cache, compiler, monkeypatch):
    monkeypatch.setenv("WAIT", "600")
    process = start()
    while not compiler.with_name("calls").exists():
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=PATIENCE)
    assert not list(cache.glob("*.so"))
    monkeypatch.setenv("WAIT", "0")
    assert isinstance(load.__wrapped__(), Library)
    assert calls(compiler) == 2


@needs_library
@pytest.mark.parametrize("what", ["processor", "jaxlib", "source", "compiler"])
def test_another_of_these_is_another_library(what, cache, compiler, monkeypatch, tmp_path):
    before = load.__wrapped__()
    if what == "processor":
        monkeypatch.setattr(library, "processor", lambda: "another")
    if what == "jaxlib":
        monkeypatch.setattr("jaxlib.__version__", "0.0.0")
    if what == "source":
        source = tmp_path / "conv3x3.cc"
        source.write_text("// another\n")
        monkeypatch.setattr(library, "SOURCE", source)
    if what == "compiler":
        compiler.write_text(f"{compiler.read_text()}\n# another\n")
    after = load.__wrapped__()
    assert {before.file.name, before.convolve}.isdisjoint({after.file.name, after.convolve})


@needs_library
@pytest.mark.parametrize("folder", [True, False])
def test_what_others_can_write_is_not_loaded(folder, cache, compiler):
    file = load.__wrapped__().file
    (cache if folder else file).chmod(0o777)
    found = load.__wrapped__()
    assert isinstance(found, Missing)
    assert "can be written by others" in found.reason


@needs_library
def test_what_another_user_owns_is_not_loaded(cache, compiler, monkeypatch):
    load.__wrapped__()
    monkeypatch.setattr("os.geteuid", lambda: 12345)
    assert isinstance(load.__wrapped__(), Missing)


def test_without_a_compiler_it_says_so(cache, monkeypatch):
    monkeypatch.setenv("PATH", str(cache))
    monkeypatch.delenv("CXX", raising=False)
    assert load.__wrapped__() == Missing("there is no C++ compiler")


def test_a_failed_build_gives_the_compilers_first_error(cache, compiler):
    compiler.write_text(
        "#!/bin/sh\necho 'x.cc: In function' >&2\necho 'x.cc:1: error: no' >&2\nexit 1\n"
    )
    assert load.__wrapped__() == Missing(f"{compiler} failed: x.cc:1: error: no")
    assert not list(cache.glob("*.so"))


def test_a_processor_without_avx2_is_refused_by_the_source(cache, monkeypatch):
    """As on ARM."""
    monkeypatch.setattr(library, "FLAGS", ("-std=c++17", "-shared", "-fPIC"))
    monkeypatch.delenv("CXX", raising=False)
    assert "this processor has no AVX2" in load.__wrapped__().reason


def test_a_cache_that_cannot_be_written_is_no_error(cache, compiler):
    cache.parent.write_text("a file where the folder should be")
    assert isinstance(load.__wrapped__(), Missing)


def test_it_can_be_turned_off(monkeypatch):
    monkeypatch.setenv("KVGG_NATIVE", "0")
    assert load.__wrapped__() == Missing("KVGG_NATIVE is 0")


BUILT = Library(Path("x.so"), "", "", 16, None, 3.4)


@pytest.mark.parametrize(
    ("found", "text", "news"),
    [
        (Missing("it is so"), "without native code, since it is so", True),
        (BUILT, "native code, built in 3 s: x.so", True),
        (BUILT._replace(seconds=0.0), "native code: x.so", False),
    ],
)
def test_a_build_is_told_once_and_so_is_its_lack(found, text, news, monkeypatch):
    monkeypatch.setattr(library, "_told", [])
    monkeypatch.setattr(library, "load", lambda: found)
    library.load.cache_info = load.cache_info  # `load` was called in this process
    assert library.describe() == text
    assert library.news() == (f"3x3 convolutions: {text}" if news else "")
    assert library.news() == ""


def test_the_digest_of_the_processor_is_of_its_instruction_sets(monkeypatch):
    before = process.processor.__wrapped__()
    monkeypatch.setattr(Path, "read_text", lambda _: "model name: other\nflags: fpu")
    assert process.processor.__wrapped__() != before
