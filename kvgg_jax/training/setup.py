"""The parts of a run put together: network, optimizer, pipelines, compiled steps."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from kvgg_jax.core.config import RunConfig
from kvgg_jax.core.events import Emit, Note
from kvgg_jax.core.keras_gate import keras
from kvgg_jax.core.state import TrainState
from kvgg_jax.data.pipeline import Pipeline, Store, hold
from kvgg_jax.data.reader import DecodedImages
from kvgg_jax.data.split import Split
from kvgg_jax.models.build import vgg
from kvgg_jax.models.compile import compile_step
from kvgg_jax.training.frozen_features import trainable_part
from kvgg_jax.training.initial_weights import InitialWeights
from kvgg_jax.training.loop import LoopInputs
from kvgg_jax.training.schedules import build_schedule
from kvgg_jax.training.step import make_eval_step, zero_tally
from kvgg_jax.training.step_setup import build_start, build_step


class Network(NamedTuple):
    """A network with its first weights, and the training pictures it is for."""

    model: keras.Model
    optimizer: keras.Optimizer
    state: TrainState
    batches: Pipeline


def build_network(
    config: RunConfig,
    decoded: DecodedImages,
    split: Split,
    given: InitialWeights | None,
    *,
    emit: Emit,
) -> Network:
    """The network of a run, with `given` weights as far as they go, and all it is trained with."""
    size, train = decoded.images.shape[1], config.train
    model = vgg(
        config.model,
        classes=len(split.train.classes),
        image_size=size,
        precision=train.precision,
        seed=config.seed,
    )
    if given is not None:
        given.assign(model)
    name, count = f"{config.model.arch.upper()}, head {config.model.head}", model.count_params()
    frozen = sum(math.prod(v.shape) for v in model.non_trainable_weights)
    trained = f", of which {count - frozen:,} are trained" if config.model.frozen_blocks else ""
    emit(Note(f"{name}, {size} px: {count:,} parameters{trained}"))
    batches = _batches(config, hold(decoded), decoded.rows(split.train))
    optimizer, state = build_start(config, model, steps=train.epochs * batches.steps)
    return Network(model, optimizer, state, batches)


def _batches(config: RunConfig, store: Store, rows: NDArray[np.int64]) -> Pipeline:
    batch, balance = config.train.batch_size, config.data.balance
    return Pipeline(store, rows, batch_size=batch, seed=config.seed, balance=balance)


def assemble(
    config: RunConfig,
    network: Network,
    decoded: DecodedImages,
    split: Split,
    state: TrainState,
    *,
    emit: Emit,
) -> LoopInputs:
    """Pipelines and compiled steps of a run that stands at `state`."""
    weights, part = (state.params, state.model_state), config.train.part_size
    model, store = trainable_part(config, network.model, decoded, weights, emit=emit)
    train = _batches(config, store, network.batches.rows)
    step = build_step(config, model, network.optimizer, split.train, emit=emit)
    example = (state, zero_tally(), store.fillers(config.train.batch_size))
    schedule = build_schedule(config.optim, steps=config.train.epochs * train.steps)
    return LoopInputs(
        train_step=compile_step("training", step, *example, donate=(0,), emit=emit),
        eval_step=compile_step(
            "evaluation", make_eval_step(model), *weights, store.fillers(part), emit=emit
        ),
        train=train,
        val=Pipeline(store, decoded.rows(split.val), batch_size=part),
        learning_rate=lambda step: float(schedule(step)),
    )
