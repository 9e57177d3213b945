"""The operations of any network of Keras in order, and its stages.

They are found in the network itself, so that the networks of Keras Applications, of KerasHub and of
a user's own function need no table.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array

from kvgg_jax.core.keras_gate import keras
from kvgg_jax.core.state import AnyArray
from kvgg_jax.models.layers import make_faster


@dataclass(frozen=True, slots=True)
class Step:
    """A call of an operation of a network: a layer, or an operation of `keras.ops`."""

    operation: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    output: keras.KerasTensor

    @property
    def inputs(self) -> list[keras.KerasTensor]:
        """The tensors among its arguments."""
        arguments = keras.tree.flatten((self.args, self.kwargs))
        return [one for one in arguments if isinstance(one, keras.KerasTensor)]

    @property
    def side(self) -> int:
        """Pixels per side of the maps that come out; 0 for anything but maps."""
        shape = self.output.shape
        return max(shape[1:3]) if len(shape) == 4 else 0

    @property
    def has_weights(self) -> bool:
        """Whether it is a layer with weights; `Normalization`'s come from data, not training."""
        if isinstance(self.operation, keras.layers.Normalization):
            return False
        return isinstance(self.operation, keras.Layer) and bool(self.operation.weights)


@dataclass(frozen=True, slots=True)
class Stage:
    """The layers between two halvings of the resolution."""

    layers: tuple[str, ...]
    """Their names, in order."""
    output: keras.KerasTensor
    """The last tensor of the stage through which all that follows goes; of the last stage, the
    network's."""


@dataclass(frozen=True)
class Connected:
    """A network that was called on images."""

    image: keras.KerasTensor
    steps: tuple[Step, ...]
    """In order; the output of the last one is the network's."""

    @cached_property
    def stages(self) -> tuple[Stage, ...]:
        """From the image on."""
        return find_stages(self.steps)

    @cached_property
    def model(self) -> keras.Model:
        """Images -> the outputs of all stages."""
        return keras.Model(self.image, [stage.output for stage in self.stages])

    def compute(self, weights: Mapping[str, AnyArray], images: AnyArray) -> tuple[Array, ...]:
        """The outputs of all stages, with `weights` by Keras' names, as for a prediction."""
        parts = (self.model.trainable_variables, self.model.non_trainable_variables)
        values = [[_value(variable, weights) for variable in part] for part in parts]
        outputs, _ = self.model.stateless_call(*values, images, training=False)
        return tuple(keras.tree.flatten(outputs))  # one alone is no list


def _value(variable: keras.Variable, weights: Mapping[str, AnyArray]) -> AnyArray:
    if variable.path.endswith("seed_generator_state"):  # of dropout, which does nothing here
        return jnp.zeros(variable.shape, variable.dtype)
    return jnp.asarray(weights[variable.path])


def connect(
    model: keras.Model, x: keras.KerasTensor, *, left_out: Collection[str] = ()
) -> Connected:
    """Call the operations of `model` on `x`, in order; those of models inside it one by one.

    Layers and weights are those of `model`, made faster, without the layers `left_out`. The weights
    of a layer in a model inside are named by that layer alone, as in files.
    """
    steps: list[Step] = []

    def call(operation: Any, *args: Any, **kwargs: Any) -> Any:
        if isinstance(operation, keras.Sequential):
            (y,) = args
            for layer in operation.layers:
                y = call(layer, y)
            return y
        if isinstance(operation, keras.Function):
            return replay(operation, *args)
        if operation.name in left_out:
            return args[0]
        make_faster(operation)
        output = operation(*args, **kwargs)
        steps.append(Step(operation, args, kwargs, output))
        return output

    def replay(inner: keras.Function, y: keras.KerasTensor) -> keras.KerasTensor:
        keras.models.clone_model(
            inner, input_tensors=y, clone_function=lambda layer: layer, call_function=call
        )
        return steps[-1].output

    call(model, x)
    for step in steps:
        if isinstance(step.operation, keras.Layer):
            _shorten_paths(step.operation)
    return Connected(x, tuple(steps))


def _shorten_paths(layer: keras.Layer) -> None:
    for variable in layer.variables:
        _, found, rest = f"/{variable.path}".rpartition(f"/{layer.name}/")
        if found:
            variable._path = f"{layer.name}/{rest}"  # Keras has no other way


def find_stages(steps: Sequence[Step]) -> tuple[Stage, ...]:
    """The stages of a network, by the sizes of its maps; a network without maps has one stage.

    A stage ends where no map of its size follows: the 1x1 maps of squeeze-and-excitation end none.
    Unpadded convolutions take some pixels off, which is no halving. Layers before the first one
    with weights, and after the last one, are of its stage.
    """
    sizes = _resolutions(steps)
    largest = np.maximum.accumulate(sizes[::-1])[::-1]
    starts, is_stage = [0], False
    last = max((i for i, step in enumerate(steps) if step.has_weights), default=0)
    for i in range(1, last + 1):
        is_stage |= steps[i - 1].has_weights
        before, now = largest[i - 1], largest[i]
        if is_stage and 0 < now < before and 2 * now <= before + 1:
            starts.append(i)
            is_stage = False
    cuts = {i for i in _cuts(steps) if steps[i].side <= sizes[i]}  # not a padded map
    ranges = [range(*ends) for ends in pairwise([*starts, len(steps)])]
    return tuple(_stage(steps, places, cuts) for places in ranges)


def _stage(steps: Sequence[Step], places: range, cuts: set[int]) -> Stage:
    def width(place: int) -> int:
        return int(steps[place].output.shape[-1])

    operations = (steps[i].operation for i in places)
    # NASNet has no cuts: its widest maps are what its cells put out
    found = [i for i in places if i in cuts] or sorted(places, key=width)
    names = tuple(each.name for each in operations if isinstance(each, keras.Layer))
    return Stage(names, steps[found[-1]].output)


def _resolutions(steps: Sequence[Step]) -> list[int]:
    """The side of each step's maps, less any padding: a map is at most as large as those before."""
    known: dict[int, int] = {}
    for step in steps:
        before = max((known.get(id(tensor), 0) for tensor in step.inputs), default=0)
        known[id(step.output)] = min(step.side, before or step.side)
    return [known[id(step.output)] for step in steps]


def _cuts(steps: Sequence[Step]) -> set[int]:
    """The steps through whose output all that follows goes."""
    made = {id(step.output): i for i, step in enumerate(steps)}
    used = [0] * len(steps)
    for i, step in enumerate(steps):
        for tensor in step.inputs:
            if id(tensor) in made:
                used[made[id(tensor)]] = i
    needed = np.maximum.accumulate([0, *used])
    return {i for i in range(len(steps)) if needed[i] <= i}
