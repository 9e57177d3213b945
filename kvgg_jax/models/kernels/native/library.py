"""The C++ beside this file as a library: compiled where it is first used, and kept in the cache.

Compiler, headers and processor are those of the user, so a wheel needs no binary and none can be of
a wrong version. Where that fails, `load` says why, and the convolutions run without.
"""

from __future__ import annotations

import ctypes
import functools
import os
import subprocess
from pathlib import Path
from typing import NamedTuple

import jax

from kvgg_jax.core.process import cache_folder
from kvgg_jax.models.kernels.native.build import build, check_own, digest, find_compiler

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
    compiler = find_compiler()
    if not compiler:
        return Missing("there is no C++ compiler")
    try:
        return _load(compiler, cache_folder() / "native")
    except subprocess.CalledProcessError as error:
        lines = [line for line in error.stderr.splitlines() if "error" in line]
        return Missing(f"{compiler[0]} failed: {(lines or ['it says nothing'])[0].strip()}")
    except (OSError, subprocess.TimeoutExpired, AttributeError, RuntimeError) as error:
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


def _load(compiler: list[str], folder: Path) -> Library:
    name = digest(compiler)
    file = folder / f"conv3x3-{name}.so"
    seconds = 0.0 if file.exists() else build(compiler, file)
    for path in (folder, file):
        check_own(path)
    try:
        functions = ctypes.CDLL(str(file))
    except OSError:
        if seconds:
            raise
        file.unlink(missing_ok=True)  # it is damaged
        seconds = build(compiler, file)
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
