"""The C++ beside this file, compiled on the machine that runs it: once, and whole or not at all."""

from __future__ import annotations

import fcntl
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

import jax
import jaxlib

from kvgg_jax.core.process import processor

SOURCE = Path(__file__).with_name("conv3x3.cc")
FLAGS = ("-std=c++17", "-O3", "-march=native", "-fPIC", "-shared")
COMPILERS = ("c++", "g++", "clang++")  # after what CXX names
PATIENCE = 300  # seconds for a compiler, and for that of another process
KEPT = 30 * 24 * 3600  # seconds, for libraries of other compilers, versions and processors


def find_compiler() -> list[str]:
    """Its path and arguments: `CXX` may name `ccache g++`. Empty where there is none.

    A link is not resolved: what it leads to may look at the name by which it is called.
    """
    for name in (os.environ.get("CXX", ""), *COMPILERS):
        words = name.split()
        found = shutil.which(words[0]) if words else None
        if found:
            return [str(Path(found).absolute()), *words[1:]]
    return []


def digest(compiler: list[str]) -> str:
    """Of all that decides what is built."""
    found = Path(compiler[0]).stat()
    parts = (
        *(SOURCE.read_text(), FLAGS, jaxlib.__version__, processor()),
        *(compiler, found.st_size, found.st_mtime_ns),
    )
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]


def build(compiler: list[str], file: Path) -> float:
    """The seconds that it took; 0 if another process built the library meanwhile."""
    file.parent.mkdir(0o700, parents=True, exist_ok=True)
    check_own(file.parent)
    with _alone(file.parent):
        if file.exists():
            return 0.0
        _sweep(file.parent)
        started = time.perf_counter()
        _compile(compiler, file)
        return time.perf_counter() - started


def _compile(compiler: list[str], file: Path) -> None:
    """Compile into a folder of its own, and move the whole library into its place."""
    with tempfile.TemporaryDirectory(prefix="build-", dir=file.parent) as folder:
        built = Path(folder, "library.so")
        headers = ("-isystem", jax.ffi.include_dir())
        subprocess.run(
            (*compiler, *FLAGS, *headers, str(SOURCE), "-o", str(built)),
            env=os.environ | {"LC_ALL": "C"},  # for errors in English
            capture_output=True,
            text=True,
            errors="replace",
            timeout=PATIENCE,
            check=True,
        )
        built.chmod(0o700)
        with built.open("rb") as library:
            os.fsync(library)  # or a power loss could leave its name with half of it
        built.replace(file)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One process at a time; the system lets go of the lock of one that is killed."""
    lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        until = time.monotonic() + PATIENCE
        while not _take(lock):
            if time.monotonic() > until:
                raise TimeoutError(f"another process has locked {folder} for {PATIENCE} s")
            time.sleep(0.1)
        yield
    finally:
        os.close(lock)


def _take(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _sweep(folder: Path) -> None:
    """Remove what killed builds left, and old libraries: where one is in use, it is built anew."""
    for left in folder.glob("build-*"):
        shutil.rmtree(left, ignore_errors=True)
    for old in folder.glob("*.so"):
        if time.time() - old.stat().st_mtime > KEPT:
            old.unlink()


def check_own(path: Path) -> None:
    """Raises OSError where another user could have put code into it."""
    found = path.stat()
    if found.st_uid != os.geteuid():
        raise OSError(f"{path} belongs to another user; set XDG_CACHE_HOME to a folder of yours")
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise OSError(f"{path} can be written by others; remove it, and it is built anew")
