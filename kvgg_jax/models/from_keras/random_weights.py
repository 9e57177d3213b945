"""First weights of any network of Keras, without the minute that Keras takes to draw them."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from kvgg_jax.core.errors import ConfigError
from kvgg_jax.core.keras_gate import keras

T = TypeVar("T")


def undrawn(build: Callable[[], T], *, precision: str = "float32") -> T:
    """What `build` returns, a network without values for its weights: see `draw`.

    Keras would compile a program for each shape, which takes a minute for 20 MB. It keeps names
    that it has given, its precision and variables without values per thread. So in a thread of its
    own it names layers as in a new process, and nothing of the caller's is changed.
    """
    found: list[T] = []
    failed: list[BaseException] = []

    def run() -> None:
        keras.config.set_dtype_policy("mixed_bfloat16" if precision == "bfloat16" else "float32")
        try:
            with keras.StatelessScope(initialize_variables=False) as scope:
                found.append(build())
            if scope.state_mapping:
                raise ConfigError(
                    "The network sets weights while it is built, which would be lost: build it "
                    "without, save them to a file, and give that as `model.weights`."
                )
        except BaseException as error:
            failed.append(error)

    state = random.getstate()  # Keras draws a seed for each initializer
    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    random.setstate(state)
    if failed:
        raise failed[0]
    return found[0]


def draw(variables: Sequence[keras.Variable], seed: int | None) -> None:
    """Give values to the variables of an `undrawn` network, as their initializers say.

    They are a function of `seed` alone; with None they are zero, to be replaced. NumPy draws them
    from the distributions of Keras, in 0.1 s where Keras would take a minute.
    """
    rng = None if seed is None else np.random.default_rng(seed)
    for variable in variables:
        variable.assign(
            np.zeros(variable.shape, variable.dtype) if rng is None else _drawn(variable, rng)
        )


def _drawn(variable: keras.Variable, rng: np.random.Generator) -> Any:
    initializer, shape = variable._initializer, tuple(variable.shape)  # Keras has no other way
    if variable.path.endswith("seed_generator_state"):
        return np.array([rng.integers(1, 10**9), 0], variable.dtype)
    match initializer:
        case keras.initializers.Zeros():
            return np.zeros(shape, variable.dtype)
        case keras.initializers.Ones():
            return np.ones(shape, variable.dtype)
        case keras.initializers.Constant():
            return np.full(shape, initializer.value, variable.dtype)
        case keras.initializers.VarianceScaling():
            return _scaled(initializer, shape, rng)
    if isinstance(getattr(initializer, "seed", None), int):
        initializer.seed = int(rng.integers(2**31))
    return initializer(shape, dtype=variable.dtype)


def _scaled(
    initializer: keras.Initializer, shape: tuple[int, ...], rng: np.random.Generator
) -> NDArray[np.float32]:
    """He et al. 2015 and Glorot & Bengio 2010, by Keras' definition of fans."""
    field = int(np.prod(shape[:-2]))
    fans = {"fan_in": shape[-2] * field, "fan_out": shape[-1] * field}
    variance = initializer.scale / max(1.0, fans.get(initializer.mode, sum(fans.values()) / 2))
    if initializer.distribution == "uniform":
        limit = np.float32(np.sqrt(3 * variance))
        return limit * (2 * rng.random(shape, np.float32) - 1)
    values = rng.standard_normal(shape, np.float32)
    if initializer.distribution == "truncated_normal":
        variance /= 0.87962566103423978**2  # of a normal cut at two deviations
        while (outside := np.abs(values) > 2).any():
            values[outside] = rng.standard_normal(int(outside.sum()), np.float32)
    return values * np.float32(np.sqrt(variance))
