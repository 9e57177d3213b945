"""The formats of weight files. Only arrays are read: no code is run, no link is followed, and no
declared size is trusted.

`sandbox.read_weights` runs this module in a separate process: wrong bytes can make the HDF5 library
crash or never end.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import stat
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any

import h5py
import numpy as np
from numpy.typing import NDArray

from kvgg_jax.core.errors import KvggError, WeightsError, is_disk_full, is_out_of_memory
from kvgg_jax.core.extras import require
from kvgg_jax.core.text import escape_name
from kvgg_jax.models.weights.hdf5 import (
    MAX_CONFIG,
    MOST,
    TOO_MANY,
    Layers,
    Refused,
    Stored,
    finite,
    from_hdf5,
    rank,
    refuse_code,
)
from kvgg_jax.models.weights.renaming import renamed

HDF5, ZIP = b"\x89HDF\r\n\x1a\n", b"PK\x03\x04"
MEMBER = "model.weights.h5"  # of a .keras archive
FLOATS = {"F16", "F32", "F64"}  # as safetensors calls them
REFUSED, NO_MEMORY, NO_SPACE = 3, 4, 5  # exit codes of `main`


class NoSpace(Exception):
    """There is no room for temporary files."""


@contextmanager
def open_weights(path: Path) -> Iterator[Layers]:
    """The layers of Keras' `.weights.h5`, `.h5` or `.keras`, or of a `.safetensors` file.

    Their arrays can be read while the context is open. Raises WeightsError, naming the file, for
    any other file: damaged, hostile, or of another kind. MemoryError and NoSpace are no fault of
    the file.
    """
    file = escape_name(path)
    try:
        with ExitStack() as stack:
            yield _open(path, stack)
    except (KvggError, MemoryError, NoSpace):
        raise
    except Refused as error:
        raise WeightsError(f"{file}{error}") from None
    except Exception as error:  # wrong bytes come out of the libraries as nearly any exception
        if _is_without_memory(error):
            raise MemoryError from error
        if _is_without_space(error):
            raise NoSpace from error
        if isinstance(error, OSError) and error.strerror and error.filename:
            raise WeightsError(f"Cannot read {file}: {error.strerror}.") from None
        raise WeightsError(
            f"{file} is damaged or cut short, so its weights cannot be read. Fetch it again."
        ) from error


def _is_without_memory(error: Exception) -> bool:
    """HDF5 and safetensors report it in words of their own."""
    text = str(error).lower()
    return is_out_of_memory(error) or "allocate" in text or "allocation failed" in text


def _is_without_space(error: Exception) -> bool:
    """On a disk, in a quota, by `ulimit -f`; or `tempfile` finds no folder that takes a file."""
    if isinstance(error, FileNotFoundError) and error.filename is None:
        return True
    return is_disk_full(error)


def _open(path: Path, stack: ExitStack) -> Layers:
    if not stat.S_ISREG(path.stat().st_mode):  # a pipe would be waited for
        raise Refused(" is not a file.")
    with path.open("rb") as file:
        head = file.read(9)
    if head.startswith(HDF5):
        return from_hdf5(stack.enter_context(h5py.File(path, "r", locking=False)))
    if head.startswith(ZIP):
        return from_hdf5(stack.enter_context(h5py.File(_unpacked(path, stack), "r")))
    if head[8:] == b"{":  # after eight bytes of length, a header in JSON
        return _from_safetensors(path, stack)
    raise Refused(
        " is no file of weights. Known are Keras' .weights.h5, .h5 and .keras, and .safetensors."
    )


def _unpacked(path: Path, stack: ExitStack) -> IO[bytes]:
    """The weights of a `.keras` archive, which stores its parts as they are: a packed one may be a
    bomb."""
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        parts = {part.filename: part for part in entries}
        if len(parts) < len(entries) or len(entries) > MOST:
            raise Refused(" has two parts of one name, or more parts than a model has.")
        for name, part in parts.items():
            if name.startswith(("/", "\\")) or ".." in name.replace("\\", "/").split("/"):
                raise Refused(f" holds {escape_name(name)!r}, which leaves its folder.")
            if part.compress_type != zipfile.ZIP_STORED:
                raise Refused(" is compressed, which Keras never does.")
        if MEMBER not in parts or "config.json" not in parts:
            raise Refused(f" is no model saved by Keras: it has no {MEMBER}.")
        if parts["config.json"].file_size > MAX_CONFIG:
            raise Refused(" has a config.json of impossible size.")
        refuse_code(archive.read("config.json"))
        copy = stack.enter_context(tempfile.TemporaryFile())  # noqa: SIM115
        with archive.open(MEMBER) as member:
            shutil.copyfileobj(member, copy)
    return copy


def _from_safetensors(path: Path, stack: ExitStack) -> Layers:
    """Arrays named `block1_conv1/kernel` or `block1_conv1.kernel`."""
    require("safetensors", by=escape_name(path))
    from safetensors import safe_open

    file = stack.enter_context(safe_open(path, framework="numpy"))
    keys = file.keys()
    if len(keys) > MOST:
        raise Refused(TOO_MANY)
    layers: dict[str, dict[str, Stored]] = {}
    for key in keys:
        owner, _, name = key.replace(".", "/").rpartition("/")
        layers.setdefault(owner, {})[name] = _tensor(file, key)
    return {
        owner: tuple(arrays[name] for name in sorted(arrays, key=rank))
        for owner, arrays in layers.items()
    }


def _tensor(file: Any, key: str) -> Stored:
    stored = file.get_slice(key)

    def read() -> NDArray[np.float32]:
        if (kind := stored.get_dtype()) not in FLOATS:
            what = f"{escape_name(key)} is {escape_name(kind)}"
            raise Refused(f": {what}, which is not read here. Save it as float32.")
        return finite(file.get_tensor(key), key)

    return Stored(tuple(stored.get_shape()), read)


def main() -> int:
    """`files.py FILE SECONDS BYTES`, `[{layer: [shape, ...]}, by_order]` on stdin: an `.npz` on
    stdout.

    It has the arrays of each layer that has these very shapes, as `layer|0`, ..., and the shapes of
    all layers, as JSON, in `shapes`; `by_order` also finds them under other names (`renamed`). For
    a file that is refused: why, on stderr.
    """
    path, (wanted, by_order) = Path(sys.argv[1]), json.load(sys.stdin)
    arrays: dict[str, NDArray[Any]] = {}
    try:
        with open_weights(path) as stored:
            layers = dict(stored)
            found = {name: [list(one.shape) for one in layers[name]] for name in layers}
            if by_order:
                layers, found = renamed(layers, found, wanted), renamed(found, found, wanted)
            for name in wanted.keys() & found.keys():
                if wanted[name] == found[name]:
                    arrays |= {f"{name}|{n}": one.read() for n, one in enumerate(layers[name])}
    except KvggError as error:
        print(error, file=sys.stderr, end="", flush=True)
        return REFUSED
    except MemoryError:
        return NO_MEMORY
    except NoSpace:
        return NO_SPACE
    try:
        shapes = np.frombuffer(json.dumps(found).encode(), np.uint8)
        np.savez(sys.stdout.buffer, allow_pickle=False, shapes=shapes, **arrays)
        sys.stdout.flush()
    except MemoryError:
        return NO_MEMORY
    except OSError:
        return NO_SPACE
    return 0


def allowed(kind: int, wanted: int) -> int:
    """`wanted`, or less where this process has a lower limit of that kind."""
    limits = [limit for limit in resource.getrlimit(kind) if limit != resource.RLIM_INFINITY]
    return min([wanted, *limits])


if __name__ == "__main__":
    seconds = allowed(resource.RLIMIT_CPU, int(sys.argv[2]))
    memory = allowed(resource.RLIMIT_AS, int(sys.argv[3]))
    # With a second between the two, the signal is SIGXCPU, not the SIGKILL of any other kill.
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, allowed(resource.RLIMIT_CPU, seconds + 1)))
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os._exit(main())  # without a last try to flush a stdout whose disk is full
