"""What a network is made of: a `Backbone` and a `Head`, which call `Layers`.

Each is written once. The `Layers` that it is given decide what the calls make: Keras layers
(`build`), arrays (`functional`), or shapes and costs (`cost`). Nothing heavy is imported.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

T = TypeVar("T")


class Layers(Protocol[T]):
    """Each takes the output of the layer before and returns its own."""

    def network(self, x: T, name: str) -> tuple[T, ...]:
        """A whole backbone that Keras builds, from images in [0, 1]: the outputs of its stages."""

    def conv(self, x: T, channels: int, name: str) -> T:
        """A 3x3 convolution of stride 1 that keeps the sides, batch norm where asked for, ReLU."""

    def pool(self, x: T, name: str) -> T:
        """2x2 max pooling of stride 2; an odd last row or column is left out."""

    def average(self, x: T, name: str) -> T:
        """The mean over height and width."""

    def means_and_maxima(self, x: T, name: str) -> T:
        """Over height and width, one after the other as one vector, in float32."""

    def join(self, vectors: Sequence[T], name: str) -> T:
        """Several vectors as one."""

    def standardize(self, x: T, name: str) -> T:
        """Less the mean of each value, divided by its deviation, both over the training images."""

    def flatten(self, x: T, name: str) -> T:
        """Height, width and channels as one axis."""

    def dense(self, x: T, units: int, name: str) -> T:
        """A hidden layer with ReLU."""

    def dropout(self, x: T, name: str) -> T:
        """Dropout at the rate of the configuration; nothing at rate 0."""

    def logits(self, x: T, name: str) -> T:
        """The last layer: a score per class, in float32 in any precision."""


class Backbone(Protocol):
    """All of a network but its head."""

    @property
    def depth(self) -> int:
        """Number of stages; `freeze` counts them."""

    def stage_of(self, name: str) -> int | None:
        """The stage, from 0, of a layer or of one of its weights; None for those of the head."""

    @property
    def stride(self) -> int | None:
        """Pixels of the image per pixel of the features, from the left and the top; None where they
        cover the whole image."""

    @property
    def min_size(self) -> int:
        """Smallest side of an image, in pixels."""

    @property
    def native_size(self) -> int:
        """Side of the images that it is made for: what a run takes unless it is told."""

    @property
    def pooling(self) -> int:
        """Side of the windows in which `features` pools the last feature maps; 1 for none."""

    @property
    def pretrained_preprocessing(self) -> str | None:
        """The `model.preprocessing` that Keras' ImageNet weights for it need; None for a backbone
        that prepares images by itself."""

    def stage_maps(self, layers: Layers[T], x: T) -> tuple[T, ...]:
        """Images -> the output of each stage; of the last one its largest maps, which Grad-CAM
        explains."""

    def features(self, layers: Layers[T], maps: T) -> T:
        """Those maps -> the output of the last stage."""


class Pooling(Protocol):
    """What a head takes of a backbone. It has no weights; its `repr` says how it pools."""

    def __call__(self, layers: Layers[T], outputs: Sequence[T]) -> T:
        """Outputs of all stages -> features."""


class Head(Protocol):
    """From the outputs of a backbone's stages to logits."""

    @property
    def pooling(self) -> Pooling:
        """The first part: for a frozen backbone its output is the same in each epoch."""

    def logits(self, layers: Layers[T], features: T) -> T:
        """The second part: calls the layers that are trained."""


@dataclass(frozen=True, slots=True)
class Network:
    """A backbone and its head."""

    backbone: Backbone
    head: Head

    def features(self, layers: Layers[T], maps: Sequence[T]) -> T:
        """The maps of the stages -> what the trained part of the head takes."""
        last = self.backbone.features(layers, maps[-1])
        return self.head.pooling(layers, (*maps[:-1], last))
