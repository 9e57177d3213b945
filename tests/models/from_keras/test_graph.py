"""Order and stages of networks that Keras builds."""

from __future__ import annotations

from kvgg_jax.core.keras_gate import keras
from kvgg_jax.models.from_keras.applications import Application
from kvgg_jax.models.from_keras.graph import Stage, Step, connect, find_stages
from kvgg_jax.models.from_keras.random_weights import undrawn

layers = keras.layers


def undrawn_application(name: str, *, image_size: int) -> keras.Model:
    return undrawn(lambda: Application(name).make(image_size))


def steps_of(model: keras.Model) -> tuple[Step, ...]:
    return connect(model, keras.Input(model.input_shape[1:])).steps


def ends(steps: tuple[Step, ...], stages: tuple[Stage, ...]) -> list[str]:
    """The layer whose output is that of the stage."""
    owners = {id(step.output): step.operation.name for step in steps}
    return [owners[id(stage.output)] for stage in stages]


def nested() -> keras.Model:
    """A model inside a model inside a model."""
    part = keras.Sequential([layers.Conv2D(2, 3, name="a"), layers.ReLU(name="b")], name="part")
    inner_input = keras.Input((8, 8, 3))
    inner = keras.Model(inner_input, layers.Conv2D(2, 1, name="c")(part(inner_input)), name="inner")
    image = keras.Input((8, 8, 3))
    return keras.Model(image, layers.Dense(4, name="d")(inner(image) + 1.0))


def test_a_stage_ends_where_the_resolution_is_halved():
    """Before the strided convolution; its padding, and the maps of one pixel, end no stage."""
    last = ["activation", "re_lu_2", "activation_1", "activation_11", "activation_17"]
    for size in (32, 65):  # the last maps have 1 pixel, and 3
        steps = steps_of(undrawn_application("mobilenetv3-small", image_size=size))
        stages = find_stages(steps)
        assert ends(steps, stages) == last
        assert [len(stage.layers) for stage in stages] == [5, 15, 18, 74, 44]


def test_models_inside_a_model_are_taken_apart():
    """Their layers are called one by one, and their weights are named by the layer alone."""
    model = undrawn(nested)
    steps = steps_of(model)
    assert [step.operation.name for step in steps] == ["a", "b", "c", "add", "d"]
    assert [variable.path for variable in model.variables] == [
        "a/kernel", "a/bias", "c/kernel", "c/bias", "d/kernel", "d/bias",
    ]  # fmt: skip
    assert steps[-1].output.shape == (None, 6, 6, 4)


def test_a_network_of_tokens_has_one_stage():
    """As a vision transformer has: after the patches there are no maps."""

    def build() -> keras.Model:
        image = keras.Input((32, 32, 3))
        x = layers.Reshape((16, 6))(layers.Conv2D(6, 8, strides=8, name="patches")(image))
        return keras.Model(
            image, layers.Dense(6, name="mixed")(layers.LayerNormalization(name="normed")(x))
        )

    steps = steps_of(undrawn(build))
    stages = find_stages(steps)
    assert ends(steps, stages) == ["mixed"]
    assert [stage.layers for stage in stages] == [("patches", "reshape", "normed", "mixed")]
