"""What each layer holds and costs, as plain numbers: nothing heavy is imported."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from math import prod
from typing import TYPE_CHECKING

from kvgg_jax.core.tables.model import ModelConfig
from kvgg_jax.models.registry import choose_network

if TYPE_CHECKING:
    from kvgg_jax.models.from_keras.graph import Step

Shape = tuple[int, ...]
SEED = "seed_generator_state"  # ends the name of the state of a layer of dropout


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer, for one image. A multiply-add counts as two FLOPs; bias, ReLU, pooling and batch
    norm, together below 1 %, are left out."""

    name: str
    output: Shape
    flops: int = 0
    """Of the forward pass."""
    kept: int = 0
    """Values that the forward pass keeps for the backward pass."""
    weights: dict[str, Shape] = field(default_factory=dict)
    """Shapes of what is trained, by Keras' names."""
    moving: dict[str, Shape] = field(default_factory=dict)
    """Of batch norm's moving means and variances, which are not trained."""
    is_head: bool = False
    """Whether it belongs to the head rather than to the backbone."""
    dropouts: int = 0
    """Layers of dropout in it or after it."""

    @property
    def params(self) -> int:
        """All its parameters, the statistics too."""
        return sum(map(prod, self.weights.values())) + self.statistics

    @property
    def statistics(self) -> int:
        """Parameters that are not trained."""
        return sum(map(prod, self.moving.values()))


def describe(config: ModelConfig, *, classes: int, image_size: int) -> tuple[Layer, ...]:
    """The layers of a network in order; `kvgg_jax.vgg` builds the same ones."""
    layers, network = _Counted(config, classes), choose_network(config)
    maps = network.backbone.stage_maps(layers, (image_size, image_size, 3))
    outputs = (*maps[:-1], network.backbone.features(layers, maps[-1]))
    layers.is_head = True
    network.head.logits(layers, network.head.pooling(layers, outputs))
    return tuple(layers.found)


class _Counted:
    """Layers whose inputs and outputs are shapes, without the batch."""

    def __init__(self, config: ModelConfig, classes: int) -> None:
        self.found: list[Layer] = []
        self.is_head = False
        self._config, self._classes = config, classes

    def _add(self, layer: Layer) -> Shape:
        self.found.append(replace(layer, is_head=self.is_head))
        return layer.output

    def network(self, x: Shape, name: str) -> tuple[Shape, ...]:
        from kvgg_jax.models.from_keras.networks import connected  # needs Keras

        network = connected(name, image_size=x[0])
        for layer in _merged(map(_of_step, network.steps)):
            self._add(layer)
        return tuple(stage.output.shape[1:] for stage in network.stages)

    def conv(self, x: Shape, channels: int, name: str) -> Shape:
        output, kernel, each = (*x[:-1], channels), (3, 3, x[-1], channels), (channels,)
        layer = Layer(
            name,
            output,
            flops=2 * prod(x[:-1]) * prod(kernel),
            kept=prod(output),
            weights={f"{name}/kernel": kernel, f"{name}/bias": each},
        )
        if self._config.batch_norm:
            layer = replace(
                layer,
                kept=2 * layer.kept,  # batch norm's input is kept as well
                weights={
                    f"{name}/kernel": kernel,
                    f"{name}_bn/gamma": each,
                    f"{name}_bn/beta": each,
                },
                moving={f"{name}_bn/moving_mean": each, f"{name}_bn/moving_variance": each},
            )
        return self._add(layer)

    def pool(self, x: Shape, name: str) -> Shape:
        output = (x[0] // 2, x[1] // 2, x[2])
        return self._add(Layer(name, output, kept=prod(output)))

    def average(self, x: Shape, name: str) -> Shape:
        return self._add(Layer(name, x[-1:], kept=x[-1]))

    def means_and_maxima(self, x: Shape, name: str) -> Shape:
        return self._add(Layer(name, (2 * x[-1],), kept=2 * x[-1]))

    def join(self, vectors: Sequence[Shape], name: str) -> Shape:
        return self._add(Layer(name, (sum(map(sum, vectors)),)))

    def standardize(self, x: Shape, name: str) -> Shape:
        moving = {f"{name}/moving_mean": x, f"{name}/moving_variance": x}
        return self._add(Layer(name, x, kept=x[0], moving=moving))

    def flatten(self, x: Shape, name: str) -> Shape:
        return (prod(x),)

    def dense(self, x: Shape, units: int, name: str) -> Shape:
        weights = {f"{name}/kernel": (*x, units), f"{name}/bias": (units,)}
        return self._add(Layer(name, (units,), flops=2 * x[0] * units, kept=units, weights=weights))

    def logits(self, x: Shape, name: str) -> Shape:
        return self.dense(x, self._classes, name)

    def dropout(self, x: Shape, name: str) -> Shape:
        self.found[-1] = replace(self.found[-1], dropouts=int(self._config.dropout > 0))
        return x


def _of_step(step: Step) -> Layer:
    """A call of a layer of Keras. Each kernel is used once for each pixel that comes out."""
    output, variables = tuple(step.output.shape[1:]), getattr(step.operation, "variables", [])
    seeds = [one.path for one in variables if one.path.endswith(SEED)]
    shapes = {one.path: (one.trainable, tuple(one.shape)) for one in variables}
    trained, moving = (
        {path: shape for path, (is_trained, shape) in shapes.items() if is_trained is wanted}
        for wanted in (True, False)
    )
    kernels = [prod(shape) for shape in trained.values() if len(shape) > 1]
    return Layer(
        step.operation.name,
        output,
        flops=2 * sum(kernels) * prod(output[:-1]),
        kept=prod(output),
        weights=trained,
        moving={path: shape for path, shape in moving.items() if path not in seeds},
        dropouts=len(seeds),
    )


def _merged(layers: Iterable[Layer]) -> list[Layer]:
    """Layers without weights are counted with the one before."""
    found: list[Layer] = []
    for layer in layers:
        if layer.params or not found:
            found.append(layer)
        else:
            kept, dropouts = found[-1].kept + layer.kept, found[-1].dropouts + layer.dropouts
            found[-1] = replace(found[-1], kept=kept, dropouts=dropouts, output=layer.output)
    return found


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
    """Weights, gradients, two moments of each weight as Adam has them, and the activations kept for
    the backward pass. SGD has none or one of them, Lion one."""
    activation_bytes: int


def total(layers: tuple[Layer, ...], *, image_size: int, batch_size: int) -> Cost:
    """Add up `layers`. Training costs three forward passes, less the first layer's input gradient,
    which is not computed; the optimizer's own arithmetic is left out."""
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
