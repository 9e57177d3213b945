"""Names that do not depend on how many layers a process has made."""

from __future__ import annotations

import jax
import numpy as np

from kvgg_jax.core.keras_gate import keras
from kvgg_jax.training.own.unnumbered import Unnumbered
from kvgg_jax.training.step import init_state


def pair() -> tuple[keras.Model, keras.Optimizer]:
    layers = [keras.Input((4,)), keras.layers.Dense(3), keras.layers.Dense(3, name="stage_2")]
    model, optimizer = keras.Sequential(layers), keras.optimizers.SGD(0.1, momentum=0.9)
    optimizer.build(model.trainable_variables)
    return model, optimizer


def test_two_networks_of_the_same_layers_are_saved_by_the_same_names():
    """Place and kind remain, and any name that a layer was given but its number."""
    (first, one), (second, two) = pair(), pair()
    assert first.variables[0].path != second.variables[0].path
    saved, again = (
        Unnumbered(*each).saved(init_state(*each)) for each in ((first, one), (second, two))
    )
    assert jax.tree.structure(saved) == jax.tree.structure(again)
    assert [*saved.params] == [
        *("0/sequential/dense/kernel", "1/sequential/dense/bias"),
        *("2/sequential/stage/kernel", "3/sequential/stage/bias"),
    ]
    assert "2/sgd/sequential_dense_kernel_momentum" in saved.opt_state


def test_names_come_back_with_their_arrays():
    """In whatever order they were read."""
    names, state = Unnumbered(*(model := pair())), init_state(*model)
    saved = names.saved(state)
    found = names.back(saved._replace(params=dict(reversed(saved.params.items()))))
    assert found.params.keys() == state.params.keys()
    jax.tree.map(np.testing.assert_array_equal, found, state)
