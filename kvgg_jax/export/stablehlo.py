"""StableHLO, as `jax.export` serialises it: weights and program in one file, for any batch size."""

from __future__ import annotations

from pathlib import Path

import jax
from jax import Array, export

from kvgg_jax.core.keras_gate import keras
from kvgg_jax.export.graph import About, write_beside
from kvgg_jax.inference.prediction import PredictFunction

PLATFORMS = ("cpu", "cuda", "rocm", "tpu")


def write(model: keras.Model, file: Path, about: About) -> None:
    """Lower a `portable` model for uint8 pictures, and write `about` beside it."""
    params, state = (
        [variable.value for variable in variables]
        for variables in (model.trainable_variables, model.non_trainable_variables)
    )

    def probabilities(image: Array) -> Array:
        return model.stateless_call(params, state, image, training=False)[0]

    (shape,) = export.symbolic_args_specs(
        (jax.ShapeDtypeStruct((1, *model.input.shape[1:]), "uint8"),), "batch, ..."
    )
    program = export.export(jax.jit(probabilities), platforms=PLATFORMS)(shape)
    file.write_bytes(program.serialize())
    write_beside(file, about)


def read(file: Path) -> PredictFunction:
    """The program, run by JAX."""
    return jax.jit(export.deserialize(bytearray(file.read_bytes())).call)
