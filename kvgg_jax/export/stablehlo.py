"""StableHLO, as `jax.export` serializes it: weights and program in one file, for any batch size."""

from __future__ import annotations

from pathlib import Path

import jax
from jax import export

from kvgg_jax.core.keras_gate import keras
from kvgg_jax.export.graph import About, predict_function, write_beside
from kvgg_jax.inference.prediction import Outputs, PredictFunction

PLATFORMS = ("cpu", "cuda", "rocm", "tpu")


def write(model: keras.Model, file: Path, about: About) -> None:
    """Lower a `portable` model for uint8 images, and write `about` beside it."""
    (shape,) = export.symbolic_args_specs(
        (jax.ShapeDtypeStruct((1, *model.input.shape[1:]), "uint8"),), "batch, ..."
    )
    predict = predict_function(model)
    program = export.export(
        jax.jit(lambda images: predict(images).probabilities), platforms=PLATFORMS
    )(shape)
    file.write_bytes(program.serialize())
    write_beside(file, about)


def read(file: Path) -> PredictFunction:
    """The program, run by JAX."""
    call = jax.jit(export.deserialize(bytearray(file.read_bytes())).call)
    return lambda images: Outputs(call(images))
