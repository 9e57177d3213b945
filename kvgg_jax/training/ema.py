"""An exponential moving average (EMA) of the weights, with which a run is evaluated.

    average = d * average + (1 - d) * weights,  d = min(decay, (1 + step) / (10 + step))

as TensorFlow's `ExponentialMovingAverage(num_updates=)` has it; d is 0 at the first step, so no
random weight counts. Batch norm's statistics are averaged too, since they belong to the weights.
Keras' `use_ema` has one decay from the first step on, and leaves those statistics out.
"""

from __future__ import annotations

import jax.numpy as jnp

from kvgg_jax.core.state import AnyArray, Batch, Tally, TrainState
from kvgg_jax.training.step import TrainStep

PREFIX = "average/"  # of the averages' names among the optimizer's slots


def with_average(state: TrainState) -> TrainState:
    """A run's first state, with the averages among the optimizer's slots."""
    copies = {PREFIX + name: jnp.array(value) for name, value in _averaged(state).items()}
    return state._replace(opt_state={**state.opt_state, **copies})


def make_averaging(train_step: TrainStep, decay: float) -> TrainStep:
    """`train_step`, which then updates the averages; it starts from `with_average`."""

    def step(state: TrainState, tally: Tally, batch: Batch) -> tuple[TrainState, Tally]:
        new, tally = train_step(state, tally, batch)
        rising = jnp.minimum(decay, (1.0 + state.step) / (10.0 + state.step))
        d = jnp.where(state.step == 0, 0.0, rising).astype(jnp.float32)
        averages = {
            PREFIX + name: d * state.opt_state[PREFIX + name] + (1 - d) * value
            for name, value in _averaged(new).items()
        }
        return new._replace(opt_state={**new.opt_state, **averages}), tally

    return step


def with_ema_weights(state: TrainState) -> TrainState:
    """The state with its averages in place of its weights; unchanged where it has none."""

    def pick(part: dict[str, AnyArray]) -> dict[str, AnyArray]:
        return {name: state.opt_state.get(PREFIX + name, value) for name, value in part.items()}

    return state._replace(params=pick(state.params), model_state=pick(state.model_state))


def _averaged(state: TrainState) -> dict[str, AnyArray]:
    """The trained weights and the statistics of their layers: what is frozen does not change."""
    trained = {name.rpartition("/")[0] for name in state.params}
    statistics = {n: v for n, v in state.model_state.items() if n.rpartition("/")[0] in trained}
    return {**state.params, **statistics}
