"""Checkpoints of a network whose layers have no names of their own.

Keras numbers such layers across the whole process: the second network that a program builds has
`dense_1` where the first had `dense`. So that either continues the other's run, its arrays are
saved by their place and kind, such as `2/sequential/dense/kernel`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from kvgg_jax.core.history import Epoch
from kvgg_jax.core.keras_gate import keras
from kvgg_jax.core.state import AnyArray, TrainState, Weights
from kvgg_jax.models.build import variable_names
from kvgg_jax.runs.checkpoint import Checkpoints
from kvgg_jax.training.optimizers import slot_names

NUMBER = re.compile(r"_\d+(?=[_/]|$)")


class Unnumbered:
    """The names in a state of `model` and `optimizer`, and those that they are saved by."""

    def __init__(self, model: keras.Model, optimizer: keras.Optimizer) -> None:
        self._params = _by_place(variable_names(model.trainable_variables))
        self._model_state = _by_place(variable_names(model.non_trainable_variables))
        self._slots = _by_place(slot_names(optimizer))

    def saved(self, state: TrainState) -> TrainState:
        """The state as it is saved."""
        params, model_state = self.saved_weights((state.params, state.model_state))
        slots = _renamed(state.opt_state, self._slots)
        return TrainState(state.step, params, model_state, slots)

    def back(self, saved: TrainState) -> TrainState:
        """The inverse of `saved`."""
        params, model_state = self.weights_back((saved.params, saved.model_state))
        slots = _renamed(saved.opt_state, _inverse(self._slots))
        return TrainState(saved.step, params, model_state, slots)

    def saved_weights(self, weights: Weights) -> Weights:
        """The weights as they are saved."""
        return _renamed(weights[0], self._params), _renamed(weights[1], self._model_state)

    def weights_back(self, saved: Weights) -> Weights:
        """The inverse of `saved_weights`."""
        params, model_state = _inverse(self._params), _inverse(self._model_state)
        return _renamed(saved[0], params), _renamed(saved[1], model_state)


def _renamed(arrays: dict[str, AnyArray], names: dict[str, str]) -> dict[str, AnyArray]:
    return {names[name]: array for name, array in arrays.items()}


def _inverse(names: dict[str, str]) -> dict[str, str]:
    return {saved: name for name, saved in names.items()}


def _by_place(names: list[str]) -> dict[str, str]:
    return {name: f"{place}/{NUMBER.sub('', name)}" for place, name in enumerate(names)}


class UnnumberedCheckpoints(Checkpoints):
    """`Checkpoints` that save by the names of `Unnumbered`."""

    def __init__(self, *args: Any, names: Unnumbered, **options: Any) -> None:
        super().__init__(*args, **options)
        self._names = names

    def save_last(self, state: TrainState, notes: Mapping[str, float] | None = None) -> None:
        """As `Checkpoints`."""
        super().save_last(self._names.saved(state), notes)

    def save_best(self, state: TrainState, row: Epoch | None = None) -> None:
        """As `Checkpoints`."""
        super().save_best(self._names.saved(state), row)

    def load_last(self, like: TrainState) -> tuple[TrainState, dict[str, float]] | None:
        """As `Checkpoints`."""
        found = super().load_last(self._names.saved(like))
        return found and (self._names.back(found[0]), found[1])

    def load_best(self, like: Weights) -> tuple[str, Weights]:
        """As `Checkpoints`."""
        step, found = super().load_best(self._names.saved_weights(like))
        return step, self._names.weights_back(found)
