"""What a network is made of: `Layers`, and a `Backbone` and a `Head` that call them.

Nothing heavy is imported.
A backbone and a head are written once, as calls of layers. Who interprets the calls decides what
comes of them: Keras layers (`build`), arrays (`functional`), or shapes and costs (`cost`).
"""

from __future__ import annotations

from typing import Protocol, TypeVar

T = TypeVar("T")


class Layers(Protocol[T]):
    """Each takes the output of the layer before and gives its own."""

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
        """Side of the windows by which `features` pools the feature maps; 1 for none."""

    @property
    def pretrained_preprocessing(self) -> str:
        """`model.preprocessing` that Keras' ImageNet weights of it need."""

    def feature_maps(self, layers: Layers[T], x: T) -> T:
        """Images -> the finest maps of the last stage, which Grad-CAM looks at."""

    def features(self, layers: Layers[T], maps: T) -> T:
        """Those -> what a head takes, the output of the last stage."""


class Head(Protocol):
    """From the features of a backbone to logits."""

    def __call__(self, layers: Layers[T], features: T) -> T:
        """Calls the layers of the head."""
