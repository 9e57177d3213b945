"""Keras Applications' ImageNet weights of VGG, by Keras' own cache."""

from __future__ import annotations

import contextlib
import hashlib
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kvgg_jax.core.errors import WeightsError
from kvgg_jax.core.events import Emit, Note
from kvgg_jax.core.keras_gate import keras

URL = "https://storage.googleapis.com/tensorflow/keras-applications"
PATIENCE = 30.0  # seconds of silence from a server
# MD5 of the files, as Keras knows them: without the head, and with it.
KERAS_MD5 = {
    "vgg16": ("6d6bbae143d832006294945121d1f1fc", "64373286793e3c8b2b4e3219cbf3544b"),
    "vgg19": ("253f8cb515780f3b799900260a226db6", "cbe5617147190e668d6c5d5026f83318"),
}


def is_of_keras(file: Path) -> bool:
    """Whether it is one of Keras Applications' own files, under whatever name."""
    try:
        with file.open("rb") as stream:
            return hashlib.file_digest(stream, "md5").hexdigest() in sum(KERAS_MD5.values(), ())
    except OSError:  # reported when the file is read
        return False


def fetch(arch: str, emit: Emit) -> Path:
    """The file without the head, from Keras' cache or from the network; its MD5 is right.

    Raises WeightsError where neither has it.
    """
    name = f"{arch}_weights_tf_dim_ordering_tf_kernels_notop.h5"
    url, md5 = f"{URL}/{arch}/{name}", KERAS_MD5[arch][0]
    home = Path(os.environ.get("KERAS_HOME") or os.path.expanduser("~/.keras"))  # noqa: PTH111
    emit(Note(f"ImageNet weights of {arch.upper()}, from {home / 'models'} or {URL}"))
    with _patience(), contextlib.redirect_stdout(sys.stderr):  # Keras reports on stdout
        try:
            home.mkdir(parents=True, exist_ok=True)  # or Keras would take another place
            found = keras.utils.get_file(
                name, url, cache_dir=str(home), cache_subdir="models", file_hash=md5
            )
            return Path(found)
        except Exception as error:  # get_file raises just that
            why = str(error).removeprefix(f"URL fetch failure on {url}: ")
    raise WeightsError(
        f"Cannot fetch the ImageNet weights: {why}.\nWhere there is a network, download {url}\n"
        f"and put it at {home / 'models' / name}, or give its path: `model.weights = PATH`."
    )


@contextmanager
def _patience() -> Iterator[None]:
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(PATIENCE)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
