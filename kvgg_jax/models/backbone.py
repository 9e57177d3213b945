"""What a network is made of: a `Backbone` and a `Head`, which call `Layers`.

Each is written once. The `Layers` that it is given decide what the calls make: Keras layers
(`build`), arrays (`functional`), or shapes and costs (`cost`). Nothing heavy is imported.
"""

from __future__ import annotations

from typing import Protocol, TypeVar

T = TypeVar("T")


class Layers(Protocol[T]):
    """Each takes the output of the layer before and returns its own."""

    def conv(self, x: T, channels: int, name: str) -> T:
        """A 3x3 convolution of stride 1 that keeps the sides, batch norm where asked for, ReLU."""

    def pool(self, x: T, name: str) -> T:
        """2x2 max pooling of stride 2; an odd last row or column is left out."""

    def average(self, x: T, name: str) -> T:
        """The mean over height and width."""

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
    def stages(self) -> tuple[str, ...]:
        """What the names of each stage's layers begin with; `freeze` counts stages."""

    @property
    def stride(self) -> int:
        """Pixels of the image per pixel of the features."""

    @property
    def min_size(self) -> int:
        """Smallest side of an image, in pixels."""

    @property
    def pooling(self) -> int:
        """Side of the windows in which `features` pools the feature maps; 1 for none."""

    @property
    def pretrained_preprocessing(self) -> str:
        """The `model.preprocessing` that Keras' ImageNet weights for it need."""

    def feature_maps(self, layers: Layers[T], x: T) -> T:
        """Images -> the largest maps of the last stage, which Grad-CAM explains."""

    def features(self, layers: Layers[T], maps: T) -> T:
        """Feature maps -> the output of the last stage, which a head takes."""


class Head(Protocol):
    """From the features of a backbone to logits."""

    def __call__(self, layers: Layers[T], features: T) -> T:
        """Calls the layers of the head."""
