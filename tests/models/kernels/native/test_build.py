"""The library is built once and whole, by the compiler as the user calls it."""

from __future__ import annotations

import fcntl
import os
import signal
import time

from kvgg_jax.models.kernels.native import build
from kvgg_jax.models.kernels.native.build import KEPT, find_compiler
from kvgg_jax.models.kernels.native.library import Library, Missing, load
from support.native import calls, needs_library, start, write_compiler
from support.runs import PATIENCE


@needs_library
def test_two_first_starts_at_once_build_it_once(cache, compiler, monkeypatch):
    monkeypatch.setenv("WAIT", "2")
    both = [start(), start()]
    outputs = [process.communicate(timeout=PATIENCE)[0] for process in both]
    assert all(text.startswith("Library(") for text in outputs)
    assert calls(compiler) == 1
    assert len(list(cache.glob("*.so"))) == 1


@needs_library
def test_a_killed_build_leaves_nothing_that_loads_and_the_next_clears_up(
    cache, compiler, monkeypatch
):
    monkeypatch.setenv("WAIT", "600")
    process = start()
    while not calls(compiler):
        assert process.poll() is None
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=PATIENCE)
    assert [path.suffix for path in cache.glob("*-*")] == [""]  # the folder of the build
    monkeypatch.setenv("WAIT", "0")
    assert isinstance(load.__wrapped__(), Library)
    assert calls(compiler) == 2
    assert [path.suffix for path in cache.glob("*-*")] == [".so"]


@needs_library
def test_a_build_removes_libraries_of_more_than_30_days(cache, compiler):
    cache.mkdir(parents=True)
    for name, age in (("old.so", KEPT + 60), ("newer.so", KEPT - 60)):
        (cache / name).touch()
        os.utime(cache / name, (time.time() - age,) * 2)
    found = load.__wrapped__()
    assert {path.name for path in cache.glob("*.so")} == {"newer.so", found.file.name}


@needs_library
def test_the_library_is_on_the_disk_before_it_has_its_name(cache, compiler, monkeypatch):
    """A power loss leaves no half of it."""
    written = []
    monkeypatch.setattr("os.fsync", lambda file: written.append(os.fstat(file.fileno()).st_ino))
    found = load.__wrapped__()
    assert written == [found.file.stat().st_ino]


def test_it_does_not_wait_for_ever_for_a_stopped_process(cache, compiler, monkeypatch):
    monkeypatch.setattr(build, "PATIENCE", 0.2)
    cache.mkdir(parents=True)
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert load.__wrapped__() == Missing(f"another process has locked {cache} for 0.2 s")
    assert calls(compiler) == 0


def test_nothing_is_done_in_a_folder_that_others_can_write(cache, compiler, tmp_path):
    """And a link that they left there is not followed."""
    mine = tmp_path / "mine"
    mine.write_text("mine")
    cache.mkdir(parents=True)
    (cache / "lock").symlink_to(mine)
    cache.chmod(0o777)
    assert load.__wrapped__() == Missing(
        f"{cache} can be written by others; remove it, and it is built anew"
    )
    cache.chmod(0o700)
    assert isinstance(load.__wrapped__(), Missing)
    assert mine.read_text() == "mine"
    assert calls(compiler) == 0


@needs_library
def test_a_compiler_is_called_by_the_name_of_its_link(cache, compiler, monkeypatch, tmp_path):
    """As ccache and clang look at it."""
    write_compiler(compiler, first='case "$0" in */link) ;; *) exit 1; esac')
    (tmp_path / "link").symlink_to(compiler)
    monkeypatch.setenv("CXX", str(tmp_path / "link"))
    assert isinstance(load.__wrapped__(), Library)


def test_cxx_may_have_arguments_and_be_relative(compiler, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CXX", "./compiler g++")
    assert find_compiler() == [str(compiler), "g++"]


def test_a_failed_build_gives_the_compilers_first_error(cache, compiler):
    write_compiler(
        compiler, first="echo 'x.cc: In function' >&2; echo 'x.cc:1: error: no' >&2; exit 1"
    )
    assert load.__wrapped__() == Missing(f"{compiler} failed: x.cc:1: error: no")
    assert not list(cache.glob("*.so"))


def test_its_error_is_in_english_whatever_bytes_it_prints(cache, compiler, monkeypatch):
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    word = '$([ "$LC_ALL" = C ] && echo error || echo Fehler)'
    write_compiler(compiler, first=f'printf "x.cc:1: {word}: \\377\\n" >&2; exit 1')
    assert load.__wrapped__() == Missing(f"{compiler} failed: x.cc:1: error: \ufffd")


def test_a_processor_without_avx2_is_refused_by_the_source(cache, monkeypatch):
    """As on ARM."""
    monkeypatch.setattr(build, "FLAGS", ("-std=c++17", "-shared", "-fPIC"))
    monkeypatch.delenv("CXX", raising=False)
    assert "this processor has no AVX2" in load.__wrapped__().reason


def test_a_cache_that_cannot_be_written_is_no_error(cache, compiler):
    cache.parent.write_text("a file where the folder should be")
    assert isinstance(load.__wrapped__(), Missing)
