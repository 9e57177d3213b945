"""An exponential moving average (EMA) of the weights, for a run to be judged by.

Keras' optimizers keep one too (`use_ema`), but at one decay from the first step on, which leaves a
short run with its first weights, and without batch norm's statistics. Here the decay rises as in
TensorFlow's `ExponentialMovingAverage(num_updates=)`, to `decay` at most:

    average = d * average + (1 - d) * weights,  d = min(decay, (1 + step) / (10 + step))

and is 0 at the first step, so no random weight counts. Batch norm's statistics are averaged alike:
they belong to the weights they were measured with.
"""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array

from kvgg_jax.core.state import AnyArray, Batch, Tally, TrainState
from kvgg_jax.training.step import TrainStep

PREFIX = "average/"  # of the averages' names among the optimizer's slots


def with_average(state: TrainState) -> TrainState:
    """A run's first state, with the averages among its slots, so that all of it is saved."""
    copies = {PREFIX + name: jnp.array(value) for name, value in _averaged(state).items()}
    return state._replace(opt_state={**state.opt_state, **copies})


def make_averaging(train_step: TrainStep, decay: float) -> TrainStep:
    """`train_step`, which then brings the averages up to date; it starts from `with_average`."""

    def step(state: TrainState, tally: Tally, batch: Batch) -> tuple[TrainState, Tally]:
        new, tally = train_step(state, tally, batch)
        d = _decay_at(state.step, decay)
        averages = {
            PREFIX + name: d * state.opt_state[PREFIX + name] + (1 - d) * value
            for name, value in _averaged(new).items()
        }
        return new._replace(opt_state={**new.opt_state, **averages}), tally

    return step


def with_ema_weights(state: TrainState) -> TrainState:
    """The state with its averages in place of its weights; as it is where it keeps none."""

    def pick(part: dict[str, AnyArray]) -> dict[str, AnyArray]:
        return {name: state.opt_state.get(PREFIX + name, value) for name, value in part.items()}

    return state._replace(params=pick(state.params), model_state=pick(state.model_state))


def _averaged(state: TrainState) -> dict[str, AnyArray]:
    """Weights that are trained and the statistics of their layers: what is frozen has no other mean
    than itself, and a dropout seed has none.
    """
    trained = {_layer(name) for name in state.params}
    statistics = {name: v for name, v in state.model_state.items() if _layer(name) in trained}
    return {**state.params, **statistics}


def _layer(name: str) -> str:
    return name.rpartition("/")[0]


def _decay_at(step: AnyArray, decay: float) -> Array:
    """For the step after `step` others."""
    rising = (1.0 + step) / (10.0 + step)
    return jnp.where(step == 0, 0.0, jnp.minimum(decay, rising)).astype(jnp.float32)
