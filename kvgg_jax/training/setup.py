"""What a configuration asks for, put together: network, optimizer, training step, pipelines."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from kvgg_jax.core.config import RunConfig
from kvgg_jax.core.devices.mesh import place_rows, place_state, use_devices
from kvgg_jax.core.errors import UsageError
from kvgg_jax.core.events import Emit, Note, ignore
from kvgg_jax.core.history import Epoch
from kvgg_jax.core.keras_gate import keras
from kvgg_jax.core.state import TrainState, Weights
from kvgg_jax.core.tables.optim import OptimConfig
from kvgg_jax.core.text import qualified_name
from kvgg_jax.data.class_balance import class_weights, describe
from kvgg_jax.data.pipeline import Pipeline, Store, hold
from kvgg_jax.data.reader import DecodedImages
from kvgg_jax.data.samples import Samples
from kvgg_jax.data.split import Split
from kvgg_jax.data.windows import Windows, find_windows
from kvgg_jax.models.build import Built, build
from kvgg_jax.models.compile import compile_step
from kvgg_jax.models.kernels.native import library
from kvgg_jax.training.augment.layers import in_turn
from kvgg_jax.training.augment.levels import make_augment
from kvgg_jax.training.augment.mixing import make_mix
from kvgg_jax.training.augment.regions import make_crop, make_erase
from kvgg_jax.training.ema import make_averaging, with_average
from kvgg_jax.training.figures import monitored_columns
from kvgg_jax.training.loop import Hooks, LoopInputs, embed, never
from kvgg_jax.training.losses import Loss, make_loss
from kvgg_jax.training.optimizers import BuildOptimizer, build_optimizer
from kvgg_jax.training.schedules import build_schedule
from kvgg_jax.training.step import (
    Augment,
    Mix,
    TrainStep,
    init_state,
    make_embed_step,
    make_eval_step,
    make_train_step,
    zero_tally,
)
from kvgg_jax.training.transfer.frozen_features import are_constant, head_on_features
from kvgg_jax.training.transfer.initial_weights import InitialWeights
from kvgg_jax.training.transfer.linear_head import solve_epoch
from kvgg_jax.training.transfer.stage_rates import make_shares

IN_PLACE_OF = {
    "loss": ("focal_gamma", "label_smoothing"),
    "optimizer": ("momentum", "nesterov", "weight_decay", "clip_norm"),
}


@dataclass(frozen=True, slots=True)
class Custom:
    """What a caller gives in place of what the settings name."""

    loss: Loss | None = None
    optimizer: BuildOptimizer | None = None

    def names(self) -> dict[str, str]:
        """`{"loss": "module.function"}`, as a run keeps it."""
        given = {"loss": self.loss, "optimizer": self.optimizer}
        return {part: qualified_name(one) for part, one in given.items() if one is not None}

    def check(self, config: OptimConfig) -> None:
        """Raises UsageError for a setting that has no effect beside it."""
        for part in self.names():
            for name in (part, *IN_PLACE_OF[part]):
                if getattr(config, name) != OptimConfig.model_fields[name].default:
                    raise UsageError(
                        f"`optim.{name}` has no effect beside `{part}=`: leave one of them out."
                    )


@dataclass(frozen=True, slots=True)
class Network:
    """A network with its first weights and its optimizer, and the photos it is trained on."""

    config: RunConfig
    decoded: DecodedImages
    split: Split
    built: Built
    optimizer: keras.Optimizer
    state: TrainState
    store: Store
    """All images."""
    batches: Pipeline
    """Training images."""
    steps: int
    """Those of the optimizer in the whole run, by which schedules go."""
    custom: Custom = Custom()

    def assemble(self, state: TrainState, emit: Emit) -> LoopInputs:
        """Pipelines and compiled steps of a run that has reached `state`."""
        config, weights = self.config, (state.params, state.model_state)
        model, store, train = self.built.model, self.store, self.batches
        part = config.train.part_size
        if are_constant(config):
            model, store = head_on_features(config, self.built, self.decoded, weights, emit=emit)
            train = _batches(config, store, train.rows, train.windows)
        samples, loss = self.split.train, self.custom.loss
        step = build_step(config, model, self.optimizer, samples, loss=loss, emit=emit)
        example = (state, zero_tally(), place_rows(train.fillers()))
        solved = train.steps if config.solves_head else 0  # no step of the optimizer
        schedule = build_schedule(config.optim, steps=self.steps)
        train_step = compile_step(
            "training", step, *example, donate=(0,), like=example[:2], emit=emit
        )
        blank, val = place_rows(store.fillers(part)), self.decoded.rows(self.split.val)
        eval_step = compile_step("evaluation", make_eval_step(model), *weights, blank, emit=emit)
        if news := library.news():
            emit(Note(news))
        return LoopInputs(
            train_step=train_step,
            eval_step=eval_step,
            train=train,
            val=Pipeline(store, val, batch_size=part),
            measure=partial(monitored_columns, config.train.monitor, store.labels[val]),
            learning_rate=lambda step: float(schedule(step - solved)),
            first_epoch=partial(self._solve, emit=emit) if config.solves_head else None,
        )

    def embed(
        self, weights: Weights, parts: Sequence[Samples], *, stop: Callable[[], bool], emit: Emit
    ) -> list[NDArray[np.float32]]:
        """What the last layer takes of photos of the run, as `embed_parts` gives it."""
        config, model, store = self.config, self.built.model, self.store
        if are_constant(config):
            model, store = head_on_features(config, self.built, self.decoded, weights, emit=ignore)
        rows, size = map(self.decoded.rows, parts), config.train.part_size
        return embed_parts(model, weights, store, rows, size=size, stop=stop, emit=emit)

    def _solve(self, state: TrainState, hooks: Hooks, *, emit: Emit) -> tuple[TrainState, Epoch]:
        """The first epoch of a run with a linear head."""
        weights = (state.params, state.model_state)
        head, store = head_on_features(self.config, self.built, self.decoded, weights, emit=emit)
        size = self.config.train.batch_size
        blank = place_rows(store.fillers(size))
        step = compile_step("head", make_eval_step(head), *weights, blank, emit=emit)
        train, val = (
            Pipeline(store, self.decoded.rows(part), batch_size=size, weighted=weighted)
            for part, weighted in ((self.split.train, True), (self.split.val, False))
        )
        return solve_epoch(self.config, step, (train, val), state, hooks)


def embed_parts(
    model: keras.Model,
    weights: Weights,
    store: Store,
    parts: Iterable[NDArray[np.int64]],
    *,
    size: int,
    stop: Callable[[], bool] = never,
    emit: Emit,
) -> list[NDArray[np.float32]]:
    """What the last layer takes of the rows of a store, for each of several parts: [count, width].

    `size` images are computed at once. Raises Stopped.
    """
    blank = place_rows(store.fillers(size))
    step = compile_step("embedding", make_embed_step(model), *weights, blank, emit=emit)
    batches = (Pipeline(store, rows, batch_size=size) for rows in parts)
    return [embed(step, weights, one, stop=stop, emit=emit)[: one.count] for one in batches]


def devices_of(config: RunConfig) -> AbstractContextManager[None]:
    """Compute on the devices of a run, as long as it is open. Raises UsageError."""
    return use_devices(config.train.devices, rows=config.train.part_size)


def build_network(
    config: RunConfig,
    decoded: DecodedImages,
    split: Split,
    initial: InitialWeights | None,
    *,
    custom: Custom = Custom(),
    steps: int | None = None,
    emit: Emit,
) -> Network:
    """The network of a run, with the `initial` weights as far as they go, and its optimizer.

    `steps` are those of the optimizer, None: of all epochs.
    """
    size, train = decoded.images.shape[1], config.train
    built = build(
        config.model,
        classes=len(split.train.classes),
        image_size=size,
        precision=train.precision,
        seed=config.seed,
    )
    if initial is not None:
        initial.assign(built.model)
    model = built.model
    count = model.count_params()
    frozen = sum(math.prod(v.shape) for v in model.non_trainable_weights)
    trained = f", of which {count - frozen:,} are trained" if config.model.freezes else ""
    emit(Note(f"{config.model.title}, {size} px: {count:,} parameters{trained}"))
    cache = "memory" if are_constant(config) else config.data.cache  # then features are trained on
    store = hold(decoded, cache, emit)
    photos, held = decoded, store
    if decoded.larger is not None:
        photos, held = decoded.larger, hold(decoded.larger, cache, emit)
    rows = photos.rows(split.train)
    windows = find_windows(split.train, rows, config.data.shuffle_shards)
    batches = _batches(config, held, rows, windows)
    steps = steps or _optimizer_steps(config, batches.steps)
    optimizer, state = build_start(config, model, steps=steps, build=custom.optimizer)
    return Network(config, decoded, split, built, optimizer, state, store, batches, steps, custom)


def _optimizer_steps(config: RunConfig, per_epoch: int) -> int:
    """Those of the whole run: of all epochs but one in which the head is solved."""
    epochs = config.train.epochs
    return per_epoch * (max(epochs - 1, 1) if config.solves_head else epochs)


def build_start(
    config: RunConfig, model: keras.Model, *, steps: int, build: BuildOptimizer | None = None
) -> tuple[keras.Optimizer, TrainState]:
    """The optimizer of a network, and the first state of a run of so many steps."""
    optimizer = build_optimizer(config.optim, model, steps=steps, build=build)
    state = init_state(model, optimizer)
    state = state if config.train.ema is None else with_average(state)
    return optimizer, place_state(state, sharded=config.train.shard == "fsdp")


def _batches(
    config: RunConfig, store: Store, rows: NDArray[np.int64], windows: Windows | None
) -> Pipeline:
    return Pipeline(
        store,
        rows,
        batch_size=config.train.batch_size,
        seed=config.seed,
        balance=config.data.balance,
        weighted=True,
        windows=windows,
    )


def build_step(
    config: RunConfig,
    model: keras.Model,
    optimizer: keras.Optimizer,
    samples: Samples,
    *,
    loss: Loss | None = None,
    emit: Emit,
) -> TrainStep:
    """The training step of a network, or of its head on the features of frozen blocks.

    `samples` are the training photos; uneven classes among them are a Note. `loss` is the caller's.
    """
    weighted = config.train.class_weight == "balanced"
    if note := describe(samples, drawn_evenly=config.data.balance, weighted=weighted):
        emit(Note(note))
    weights = class_weights(samples) if weighted else None
    step = make_train_step(
        model,
        optimizer,
        *build_changes(config, model.input_shape[1], len(samples.classes)),
        loss=make_loss(config.optim, weights, own=loss),
        accumulate=config.train.accumulate,
        shares=make_shares(config, model, steps=math.ceil(len(samples) / config.train.batch_size)),
    )
    return step if config.train.ema is None else make_averaging(step, config.train.ema)


def build_changes(config: RunConfig, size: int, classes: int) -> tuple[Augment | None, Mix | None]:
    """The random changes to training images one by one, and in pairs."""
    data, seed = config.data, config.seed
    augment = in_turn(
        make_crop(data.crop, seed=seed, image_size=size),
        make_augment(data.augment, seed=seed, image_size=size, color=data.augment_color),
        make_erase(data.erase, seed=seed, image_size=size),
    )
    return augment, make_mix(data.mix, data.mix_alpha, seed=seed, classes=classes)
