"""What a network of one's own must give: logits."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from kvgg_jax.core.errors import UsageError
from kvgg_jax.core.keras_gate import keras
from kvgg_jax.training.own.outputs import count_classes

INPUTS = np.zeros((2, 4), np.uint8)
layers = keras.layers


def sequential(*parts: keras.Layer) -> keras.Model:
    return keras.Sequential([keras.Input((4,)), *parts])


class Own(keras.Model):
    """A model without a shape of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.dense = layers.Dense(3)

    def call(self, inputs: object) -> object:
        return self.dense(inputs)


def test_the_classes_are_those_of_the_logits_and_a_model_without_weights_is_built():
    """In the least that Keras asks for: a subclass that was never called."""
    assert count_classes(sequential(layers.Dense(5)), "train", INPUTS) == 5
    model = Own()
    assert count_classes(model, "train", INPUTS) == 3
    assert model.dense.kernel.shape == (4, 3)


@pytest.mark.parametrize(
    ("build", "text"),
    [
        (lambda: print, "`model` must be a model of Keras, not builtin_function_or_method."),
        (
            lambda: sequential(layers.Dense(3, activation="softmax")),
            "The model ends with softmax; fit needs logits: leave that activation out.",
        ),
        (
            lambda: sequential(layers.Dense(3), layers.Softmax()),
            "The model ends with softmax; fit needs logits: leave that activation out.",
        ),
        (
            lambda: sequential(layers.Dense(1)),
            "The model gives [2, 1] for 2 inputs, expected logits [batch, classes] of 2 classes or "
            "more.",
        ),
        (
            lambda: sequential(layers.Dense(4), layers.Reshape((2, 2))),
            "The model gives [2, 2, 2] for 2 inputs, expected logits [batch, classes] of 2 classes "
            "or more.",
        ),
        (
            lambda: sequential(layers.Dense(3, dtype="mixed_bfloat16")),
            'The logits are bfloat16: give the last layer of the model dtype="float32".',
        ),
        (
            lambda: sequential(layers.Rescaling(2.0)),
            "The model has no variable that can be trained.",
        ),
    ],
)
def test_another_output_is_refused(build: Callable[[], keras.Model], text: str):
    """With what to change."""
    with pytest.raises(UsageError) as caught:
        count_classes(build(), "train", INPUTS)
    assert str(caught.value) == text


def test_inputs_that_the_model_does_not_take_are_named():
    """Then Keras says why."""
    with pytest.raises(UsageError) as caught:
        count_classes(sequential(layers.Dense(3)), "val", np.zeros((2, 5), np.uint8))
    assert str(caught.value).startswith("The model does not take `val`, uint8 [2, 5]: ")
    assert "incompatible" in str(caught.value)
