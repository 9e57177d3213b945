"""The C++ beside this file as a library: compiled where it is first used, and kept in the cache.

Compiler, headers and processor are those of the user, so a wheel needs no binary and none can be of
a wrong version. Where that fails, `load` says why, and the convolutions run without.
"""

from __future__ import annotations

import ctypes
import fcntl
import functools
import hashlib
import os
import shutil
import stat
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import jax
import jaxlib

from kvgg_jax.core.process import cache_folder, processor

SOURCE = Path(__file__).with_name("conv3x3.cc")
FLAGS = ("-std=c++17", "-O3", "-march=native", "-fPIC", "-shared")
COMPILERS = ("c++", "g++", "clang++")  # after what CXX names
PATIENCE = 300  # seconds for a compiler
_told: list[Library | Missing] = []


class Library(NamedTuple):
    """A loaded library: what XLA calls, by name, and what its callers must know."""

    file: Path
    convolve: str
    weight_gradient: str
    channels: int
    """Those of images and results come in multiples of it."""
    functions: ctypes.CDLL
    seconds: float
    """That it took to build; 0 where it was there."""


class Missing(NamedTuple):
    """There is no library."""

    reason: str


@functools.cache
def load() -> Library | Missing:
    """The library of this machine, built if need be: once for all processes."""
    if os.environ.get("KVGG_NATIVE") == "0":
        return Missing("KVGG_NATIVE is 0")
    compiler = next(filter(None, map(shutil.which, (os.environ.get("CXX", ""), *COMPILERS))), None)
    if compiler is None:
        return Missing("there is no C++ compiler")
    try:
        return _load(Path(compiler).resolve(), cache_folder() / "native")
    except subprocess.CalledProcessError as error:
        lines = [line for line in error.stderr.splitlines() if "error" in line]
        return Missing(f"{compiler} failed: {(lines or ['it says nothing'])[0].strip()}")
    except (OSError, subprocess.TimeoutExpired, AttributeError) as error:
        return Missing(str(error))


def describe() -> str:
    """Which 3x3 convolutions this process has run, for the user."""
    if not load.cache_info().currsize:  # nobody asked
        return "XLA's"
    found = load()
    if isinstance(found, Missing):
        return f"without native code, since {found.reason}"
    built = f", built in {found.seconds:.0f} s" if found.seconds else ""
    return f"native code{built}: {found.file}"


def news() -> str:
    """What a user should know, once a process: the library was built just now, or there is none."""
    if _told or not load.cache_info().currsize:
        return ""
    found = load()
    _told.append(found)
    built_now = isinstance(found, Missing) or found.seconds > 0
    return f"3x3 convolutions: {describe()}" if built_now else ""


def _load(compiler: Path, folder: Path) -> Library:
    name = _digest(compiler)
    file, seconds = folder / f"conv3x3-{name}.so", 0.0
    if not file.exists():
        folder.mkdir(0o700, parents=True, exist_ok=True)
        with _alone(folder):
            if not file.exists():  # nor did another process build it meanwhile
                started = time.perf_counter()
                _build(compiler, file)
                seconds = time.perf_counter() - started
    for path in (folder, file):
        _check_own(path)
    functions = ctypes.CDLL(str(file))
    functions.kvgg_parts.argtypes = [ctypes.c_ssize_t] * 3
    functions.kvgg_parts.restype = functions.kvgg_channels.restype = ctypes.c_ssize_t
    # A compiled program names what it calls: with the digest, it never calls another build.
    names = [f"kvgg_convolve_{name}", f"kvgg_weight_gradient_{name}"]
    for target, function in zip(
        names, (functions.kvgg_convolve, functions.kvgg_weight_gradient), strict=True
    ):
        jax.ffi.register_ffi_target(target, jax.ffi.pycapsule(function), platform="cpu")
    return Library(file, names[0], names[1], functions.kvgg_channels(), functions, seconds)


def _digest(compiler: Path) -> str:
    """Of all that decides what is built."""
    found = compiler.stat()
    parts = (
        *(SOURCE.read_text(), FLAGS, jaxlib.__version__, processor()),
        *(str(compiler), found.st_size, found.st_mtime_ns),
    )
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]


def _build(compiler: Path, file: Path) -> None:
    """Compile into a folder of its own, and move the whole library into its place."""
    with tempfile.TemporaryDirectory(prefix="build-", dir=file.parent) as folder:
        built = Path(folder, "library.so")
        headers = ("-isystem", jax.ffi.include_dir())
        command = (str(compiler), *FLAGS, *headers, str(SOURCE), "-o", str(built))
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=PATIENCE)
        built.chmod(0o700)
        built.replace(file)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One process at a time; the system lets go of the lock of one that is killed."""
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _check_own(path: Path) -> None:
    """Raises OSError where another user could have put code into it."""
    found = path.stat()
    if found.st_uid != os.geteuid() or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise OSError(f"{path} can be written by others; remove it, and it is built anew")
