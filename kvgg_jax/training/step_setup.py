"""The training step that a configuration asks for, put together from its parts."""

from __future__ import annotations

from kvgg_jax.core.config import RunConfig
from kvgg_jax.core.events import Emit, Note
from kvgg_jax.core.keras_gate import keras
from kvgg_jax.core.state import AnyArray, Batch, TrainState
from kvgg_jax.data.class_balance import class_weights, describe
from kvgg_jax.data.folder import Samples
from kvgg_jax.training.augment.levels import make_augment
from kvgg_jax.training.augment.mixing import make_mix
from kvgg_jax.training.ema import make_averaging, with_average
from kvgg_jax.training.losses import make_loss
from kvgg_jax.training.optimizers import build_optimizer
from kvgg_jax.training.step import Augment, Mix, TrainStep, init_state, make_train_step


def build_start(
    config: RunConfig, model: keras.Model, *, steps: int
) -> tuple[keras.Optimizer, TrainState]:
    """The optimizer of a network, and the state that a run of so many steps begins with."""
    optimizer = build_optimizer(config.optim, model, steps=steps)
    state = init_state(model, optimizer)
    return optimizer, state if config.train.ema is None else with_average(state)


def build_step(
    config: RunConfig,
    model: keras.Model,
    optimizer: keras.Optimizer,
    samples: Samples,
    *,
    emit: Emit,
) -> TrainStep:
    """The training step of a network, or of its trained part on what the rest makes of pictures.

    `samples` are the photos it will be trained on; uneven classes among them are a Note.
    """
    weighted = config.train.class_weight == "balanced"
    if note := describe(samples, drawn_evenly=config.data.balance, weighted=weighted):
        emit(Note(note))
    weights = class_weights(samples) if weighted else None
    step = make_train_step(
        model,
        optimizer,
        *build_changes(config, model.input_shape[1], len(samples.classes)),
        loss=make_loss(config.optim.label_smoothing, weights),
        accumulate=config.train.accumulate,
    )
    return step if config.train.ema is None else make_averaging(step, config.train.ema)


def build_changes(config: RunConfig, size: int, classes: int) -> tuple[Augment | None, Mix | None]:
    """What is done to training pictures one by one, and in pairs."""
    data, seed = config.data, config.seed
    augment = make_augment(data.augment, seed=seed, image_size=size, color=data.augment_color)
    return augment, make_mix(data.mix, data.mix_alpha, seed=seed, classes=classes)


def changed(batch: Batch, step: AnyArray, augment: Augment | None, mix: Mix | None) -> Batch:
    """A batch of float images as training has it at `step`; once mixed, labels are shares."""
    if augment is not None:
        batch = batch._replace(images=augment(batch.images, step))
    return batch if mix is None else mix(batch, step)
