"""Networks of Keras Applications, with what each needs of its images.

Nothing that Keras knows is repeated here: sizes, preparation and weight files are asked for.
"""

from __future__ import annotations

import re
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from kvgg_jax.core.keras_gate import keras
from kvgg_jax.core.tables.architectures import APPLICATIONS
from kvgg_jax.models.from_keras.random_weights import undrawn
from kvgg_jax.models.layers import Caffe
from kvgg_jax.models.preprocess import PREPROCESSING

ANY_SIZE = 224  # pixels, of networks that Keras makes for any size and trained at this one


class RemoteFile(NamedTuple):
    """A file of weights, as Keras would fetch it."""

    url: str
    digest: str | None
    """MD5 or SHA-256 in hex; None where Keras knows none."""


@dataclass(frozen=True, slots=True)
class Application:
    """A network of `APPLICATIONS`, without its head."""

    name: str

    @property
    def smallest_size(self) -> int:
        """As Keras reports it."""
        return smallest_size(self.name)

    @property
    def native_size(self) -> int:
        """Of the images that Keras' weights were trained on."""
        return native_size(self.name)

    def make(self, image_size: int) -> keras.Model:
        """By Keras' function."""
        return _make(self.name, include_top=False, input_shape=(image_size, image_size, 3))

    def unused(self, model: keras.Model) -> list[str]:
        """Those that would standardize images if they had seen some: of EfficientNet.

        Keras' weights for them hold a deviation where a variance belongs, and Keras makes up for it
        by a layer that it adds with these weights only (tensorflow#49930).
        """
        kind = keras.layers.Normalization
        return [layer.name for layer in model.layers if isinstance(layer, kind) and layer.variables]

    def prepare(self, image: keras.KerasTensor, *, standardize: bool) -> keras.KerasTensor:
        """By Keras' `preprocess_input` for it; `standardize`, for a network that only divides by
        255, gives it ImageNet's mean and deviation."""
        module = getattr(keras.applications, APPLICATIONS[self.name].partition(".")[0])
        colors = np.float32(255) * np.vstack([np.zeros((1, 3)), np.eye(3)]).astype(np.float32)
        prepared = module.preprocess_input(colors.reshape(4, 1, 1, 3).copy())
        if standardize:
            torch = keras.applications.imagenet_utils.preprocess_input
            prepared = 255 * torch(colors.reshape(4, 1, 1, 3).copy(), mode="torch")
        black, *primaries = np.reshape(prepared, (4, 3)).astype(float)
        scales = primaries - black  # of a color in, for each color out
        if scales[0, 0] == 0:  # blue comes first
            return Caffe(name=PREPROCESSING, dtype="float32")(image)
        return keras.layers.Rescaling(
            np.diag(scales).tolist(), black.tolist(), name=PREPROCESSING, dtype="float32"
        )(image)


def _make(name: str, **options: Any) -> keras.Model:
    return _constructor(name)(**{"weights": None, **options})


def _constructor(name: str) -> Callable[..., keras.Model]:
    return getattr(keras.applications, APPLICATIONS[name].rpartition(".")[2])


@cache
def smallest_size(name: str) -> int:
    """Smallest side of an image, in pixels, as Keras reports it."""
    try:
        undrawn(lambda: _make(name, include_top=False, input_shape=(1, 1, 3)))
    except ValueError as error:
        if found := re.search(r"at least (\d+)x", str(error)):
            return int(found[1])
        raise
    return 1


@cache
def native_size(name: str) -> int:
    """Side of the images that Keras' weights were trained on, in pixels."""
    return undrawn(lambda: _make(name)).input_shape[1] or ANY_SIZE


@cache
def imagenet_file(name: str) -> RemoteFile:
    """Where Keras fetches the ImageNet weights of the network without its head.

    Keras builds the network and then asks for the file; here it is stopped as it asks.
    """
    shape = (ANY_SIZE, ANY_SIZE, 3)  # of several for MobileNet
    files: Any = sys.modules["keras.src.utils.file_utils"]
    fetch = files.get_file

    def ask() -> RemoteFile:
        thread = threading.get_ident()

        def get_file(file: str, origin: str, *args: Any, **kwargs: Any) -> Any:
            if threading.get_ident() != thread:  # another one really wants a file
                return fetch(file, origin, *args, **kwargs)
            raise _Asked(RemoteFile(origin, kwargs.get("file_hash")))

        files.get_file = get_file
        try:
            _make(name, weights="imagenet", include_top=False, input_shape=shape)
        except _Asked as asked:
            return asked.file
        finally:
            files.get_file = fetch
        raise AssertionError("Keras asked for no file")

    return undrawn(ask)


class _Asked(Exception):
    def __init__(self, file: RemoteFile) -> None:
        self.file = file
