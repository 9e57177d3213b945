"""The VGG table and what each layer costs, as plain numbers: nothing heavy is imported.

Simonyan & Zisserman 2015, "Very Deep Convolutional Networks", table 1.
"""

from __future__ import annotations

from dataclasses import dataclass

from kvgg_jax.core.config import ModelConfig, parse_head

# Output channels of the 3x3 convolutions; a 2x2 max pooling closes each block.
# Columns A, B, D and E of the table; C is D with 1x1 kernels and is not offered.
BLOCKS: dict[str, tuple[tuple[int, ...], ...]] = {
    "vgg11": ((64,), (128,), (256,) * 2, (512,) * 2, (512,) * 2),
    "vgg13": ((64,) * 2, (128,) * 2, (256,) * 2, (512,) * 2, (512,) * 2),
    "vgg16": ((64,) * 2, (128,) * 2, (256,) * 3, (512,) * 3, (512,) * 3),
    "vgg19": ((64,) * 2, (128,) * 2, (256,) * 4, (512,) * 4, (512,) * 4),
}


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer, for one picture. A multiply-add counts as two FLOPs; bias, ReLU, pooling and
    batch norm, together below 1 %, are left out."""

    name: str
    output: tuple[int, ...]
    params: int = 0
    statistics: int = 0
    """Of the parameters, batch norm's moving means and variances, which are not trained."""
    flops: int = 0
    """Of the forward pass."""
    kept: int = 0
    """Values that the forward pass keeps for the backward pass."""

    @property
    def is_head(self) -> bool:
        """Whether it belongs to the classifier head rather than to the convolutions."""
        return not self.name.startswith("block")


def describe(config: ModelConfig, *, classes: int, image_size: int) -> tuple[Layer, ...]:
    """The layers of a network in order; `kvgg_jax.vgg` builds the same ones."""
    layers: list[Layer] = []
    side, channels = image_size, 3
    for b, block in enumerate(BLOCKS[config.arch], 1):
        for c, width in enumerate(block, 1):
            layers.append(_conv(f"block{b}_conv{c}", side, (channels, width), config.batch_norm))
            channels = width
        side //= 2
        pooled = side * side * channels
        layers.append(Layer(f"block{b}_pool", (side, side, channels), kept=pooled))
    return (*layers, *_head(config, side, channels, classes))


def _conv(name: str, side: int, channels: tuple[int, int], batch_norm: bool) -> Layer:
    before, after = channels
    weights, values = 9 * before * after, side * side * after
    return Layer(
        name,
        (side, side, after),
        params=weights + after * (4 if batch_norm else 1),  # gamma, beta, statistics; or a bias
        statistics=2 * after if batch_norm else 0,
        flops=2 * side * side * weights,
        kept=values * (2 if batch_norm else 1),  # batch norm's input is kept as well
    )


def _head(config: ModelConfig, side: int, channels: int, classes: int) -> list[Layer]:
    sizes = parse_head(config.head)
    layers: list[Layer] = []
    width = channels if sizes is None else side * side * channels
    if sizes is None:
        layers.append(Layer("gap", (width,), kept=width))
    for i, units in enumerate(sizes or (), 1):
        layers.append(_dense(f"fc{i}", width, units))
        width = units
    return [*layers, _dense("predictions", width, classes)]


def _dense(name: str, before: int, after: int) -> Layer:
    weights = before * after
    return Layer(name, (after,), params=weights + after, flops=2 * weights, kept=after)


@dataclass(frozen=True, slots=True)
class Cost:
    """Totals of a network for a batch; bytes at 4 a value."""

    params: int
    """All that Keras counts: batch norm's statistics too."""
    head_params: int
    forward_flops: int
    training_flops: int
    weight_bytes: int
    training_bytes: int
    """Weights, gradients, Adam's two moments, and the activations kept for the backward pass."""
    activation_bytes: int


def total(layers: tuple[Layer, ...], *, image_size: int, batch_size: int) -> Cost:
    """Add up `layers`. Training costs three forward passes but for the first layer's input
    gradient, which nobody needs; Adam's own arithmetic is left out."""
    params = sum(layer.params for layer in layers)
    trained = params - sum(layer.statistics for layer in layers)
    forward = sum(layer.flops for layer in layers)
    kept = image_size * image_size * 3 + sum(layer.kept for layer in layers)
    activations = 4 * kept * batch_size
    return Cost(
        params=params,
        head_params=sum(layer.params for layer in layers if layer.is_head),
        forward_flops=forward * batch_size,
        training_flops=(3 * forward - layers[0].flops) * batch_size,
        weight_bytes=4 * params,
        training_bytes=4 * params + 12 * trained + activations,
        activation_bytes=activations,
    )
