"""The library is found where it was built, and loaded only if it and its folder are the user's."""

from __future__ import annotations

from pathlib import Path

import pytest

from kvgg_jax.core import process
from kvgg_jax.models.kernels.native import build, library
from kvgg_jax.models.kernels.native.build import digest, find_compiler
from kvgg_jax.models.kernels.native.library import Library, Missing, load
from support.native import calls, needs_library, write_compiler


@needs_library
def test_it_is_built_once_and_then_found(cache, compiler):
    built, found = load.__wrapped__(), load.__wrapped__()
    assert built.file == found.file
    assert built.file.parent == cache
    assert built.seconds > 0
    assert found.seconds == 0
    assert calls(compiler) == 1


@needs_library
@pytest.mark.parametrize("what", ["processor", "jaxlib", "source", "compiler"])
def test_another_of_these_is_another_library(what, cache, compiler, monkeypatch, tmp_path):
    before = load.__wrapped__()
    if what == "processor":
        monkeypatch.setattr(build, "processor", lambda: "another")
    if what == "jaxlib":
        monkeypatch.setattr("jaxlib.__version__", "0.0.0")
    if what == "source":
        source = tmp_path / "conv3x3.cc"
        source.write_text("// another\n")
        monkeypatch.setattr(build, "SOURCE", source)
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
    assert load.__wrapped__() == Missing(
        f"{cache} belongs to another user; set XDG_CACHE_HOME to a folder of yours"
    )


@needs_library
def test_a_damaged_library_is_built_anew(cache, compiler):
    cache.mkdir(parents=True)
    file = cache / f"conv3x3-{digest(find_compiler())}.so"
    file.touch()
    found = load.__wrapped__()
    assert (found.file, found.seconds > 0) == (file, True)
    assert calls(compiler) == 1


def test_it_is_not_built_twice_if_the_compiler_makes_it_so(cache, compiler):
    write_compiler(compiler, first='echo > "$last"; exit')
    assert "file too short" in load.__wrapped__().reason
    assert calls(compiler) == 1


@needs_library
def test_what_jax_does_not_take_is_not_used(cache, compiler, monkeypatch):
    def refuse(*_: object, **__: object) -> None:
        raise RuntimeError("another version")

    monkeypatch.setattr("jax.ffi.register_ffi_target", refuse)
    assert load.__wrapped__() == Missing("another version")


def test_without_a_compiler_it_says_so(cache, monkeypatch):
    monkeypatch.setenv("PATH", str(cache))
    monkeypatch.delenv("CXX", raising=False)
    assert load.__wrapped__() == Missing("there is no C++ compiler")


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
