"""Networks that Keras builds, as backbones: with weights of ours, and connected to our images.

What there is to know of one network is its `Source`; all else is the same for all of them.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache, lru_cache
from typing import Protocol

from kvgg_jax.core.errors import ConfigError
from kvgg_jax.core.keras_gate import keras
from kvgg_jax.core.tables.architectures import APPLICATIONS, HUB, own_backbone
from kvgg_jax.models.from_keras.applications import Application
from kvgg_jax.models.from_keras.graph import Connected, Stage, connect
from kvgg_jax.models.from_keras.own import Own
from kvgg_jax.models.from_keras.presets import Preset
from kvgg_jax.models.from_keras.random_weights import draw, undrawn


class Source(Protocol):
    """Where a network comes from; equal ones build the same network."""

    def __hash__(self) -> int:
        """Networks are kept by source."""

    @property
    def name(self) -> str:
        """As `model.arch` has it."""

    @property
    def smallest_size(self) -> int:
        """Smallest side of an image, in pixels."""

    @property
    def native_size(self) -> int:
        """Side of the images that it is made for."""

    def make(self, image_size: int) -> keras.Model:
        """The network without its head: from images to maps [batch, height, width, channels]."""

    def unused(self, model: keras.Model) -> list[str]:
        """Layers of it to leave out."""

    def prepare(self, image: keras.KerasTensor, *, standardize: bool) -> keras.KerasTensor:
        """Images in [0, 1] as the network takes them; `standardize` where layers are left out."""


def find_source(name: str) -> Source:
    """Raises ConfigError for a name that is not known here."""
    if name in APPLICATIONS:
        return Application(name)
    if name.startswith(HUB):
        return Preset(name)
    if (build := own_backbone(name)) is not None:
        return Own(name, build)
    raise ConfigError(
        f"{name} is not known here: call kvgg_jax.register_backbone with the function that builds "
        "it, or install the package that declares it."
    )


def build(
    name: str, x: keras.KerasTensor, *, precision: str = "float32", seed: int | None
) -> tuple[Stage, ...]:
    """Call the network `name`, without its head, on images in [0, 1].

    The output of the last stage is the network's. Weights are random, a function of `seed` alone;
    with None they are zero, to be replaced. Raises ConfigError for images that are too small.
    """
    source = find_source(name)
    model = _undrawn(source, x.shape[1], precision)
    draw(model.variables, seed)
    return _connect(source, model, x).stages


def connected(name: str, *, image_size: int, precision: str = "float32") -> Connected:
    """The network on its own, without values for its weights, to look at or to compute with.

    Raises ConfigError for images that are too small.
    """
    return _connected(find_source(name), image_size, precision)


def stage_numbers(name: str) -> dict[str, int]:
    """Layer -> its stage, from 0; they are the same for images of any size."""
    return _stage_numbers(find_source(name))


# By source, not by name: a notebook defines its network again under the same name.
@lru_cache(maxsize=4)
def _connected(source: Source, image_size: int, precision: str) -> Connected:
    model = _undrawn(source, image_size, precision)
    return _connect(source, model, keras.Input((image_size, image_size, 3)))


@cache
def _stage_numbers(source: Source) -> dict[str, int]:
    stages = _connected(source, source.native_size, "float32").stages
    return {layer: number for number, stage in enumerate(stages) for layer in stage.layers}


def _connect(source: Source, model: keras.Model, image: keras.KerasTensor) -> Connected:
    unused = source.unused(model)
    prepared = source.prepare(image, standardize=bool(unused))
    return replace(connect(model, prepared, left_out=unused), image=image)


def _undrawn(source: Source, image_size: int, precision: str) -> keras.Model:
    if image_size < source.smallest_size:
        raise ConfigError(
            f"image_size {image_size} is too small: {source.name} needs at least "
            f"{source.smallest_size} pixels a side."
        )
    return undrawn(lambda: source.make(image_size), precision=precision)
