"""Keras Applications' ImageNet weights, by Keras' own cache."""

from __future__ import annotations

import hashlib
import os
import urllib.request
from http.client import HTTPException
from pathlib import Path

from kvgg_jax.core.errors import WeightsError
from kvgg_jax.core.events import Emit, Note, Progress
from kvgg_jax.core.files import write_bytes
from kvgg_jax.core.tables.architectures import title

URL = "https://storage.googleapis.com/tensorflow/keras-applications"
PATIENCE = 30.0  # seconds of silence from a server
MEGABYTE = 1_000_000
# MD5 of the files, as Keras knows them: without the head, and with it.
KERAS_MD5 = {
    "vgg16": ("6d6bbae143d832006294945121d1f1fc", "64373286793e3c8b2b4e3219cbf3544b"),
    "vgg19": ("253f8cb515780f3b799900260a226db6", "cbe5617147190e668d6c5d5026f83318"),
}
KERAS_HEAD = {"fc1", "fc2", "predictions"}  # the layers in files with the head


def is_of_keras(file: Path) -> bool:
    """Whether it is one of Keras Applications' own files, under whatever name."""
    return _md5(file) in sum(KERAS_MD5.values(), ())


def _md5(file: Path) -> str | None:
    """None where it cannot be read, which is reported when it is loaded."""
    try:
        with file.open("rb") as stream:
            return hashlib.file_digest(stream, "md5").hexdigest()
    except OSError:
        return None


def fetch(arch: str, emit: Emit) -> Path:
    """The file without the head, from Keras' cache or from the network; its digest is right.

    Raises WeightsError where neither has it.
    """
    url, digest = _source(arch)
    home = Path(os.environ.get("KERAS_HOME") or os.path.expanduser("~/.keras"))  # noqa: PTH111
    folder, _, name = url.rpartition("/")
    file = home / "models" / name
    emit(Note(f"ImageNet weights of {title(arch)}, from {file.parent} or {folder}"))
    try:
        if not file.exists() or not is_right(file.read_bytes(), digest):
            _download(url, file, digest, emit)
    except (OSError, HTTPException) as error:
        raise WeightsError(
            f"Cannot fetch the ImageNet weights: {getattr(error, 'reason', error)}.\n"
            f"Where there is a network, download {url}\n"
            f"and put it at {file}, or give its path: `model.weights = PATH`."
        ) from None
    return file


def _source(arch: str) -> tuple[str, str | None]:
    """Address and digest of a file."""
    if arch in KERAS_MD5:
        name = f"{arch}_weights_tf_dim_ordering_tf_kernels_notop.h5"
        return f"{URL}/{arch}/{name}", KERAS_MD5[arch][0]
    from kvgg_jax.models.from_keras.applications import imagenet_file  # needs Keras

    return imagenet_file(arch)


def is_right(content: bytes | bytearray, digest: str | None) -> bool:
    """Whether it has that MD5 or SHA-256; any content, where Keras knows none."""
    kind = hashlib.md5 if digest and len(digest) == 32 else hashlib.sha256
    return digest is None or kind(content).hexdigest() == digest


def _download(url: str, file: Path, digest: str | None, emit: Emit) -> None:
    """Not by Keras, which prints on stdout, and sets the time-out of all sockets."""
    content = bytearray()
    with urllib.request.urlopen(url, timeout=PATIENCE) as answer:
        total = -(-int(answer.headers.get("Content-Length", 0)) // MEGABYTE)
        while part := answer.read(MEGABYTE):
            content += part
            done = -(-len(content) // MEGABYTE)
            emit(Progress("downloading", done, max(total, done), unit="MB"))
    if not is_right(content, digest):
        raise OSError(f"{url} has another content than Keras expects")
    file.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(file, bytes(content))
