"""`fit`: the loop, the checkpoints and the exact resume of `train`, for any network and batches."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from kvgg_jax.core.config import RunConfig
from kvgg_jax.core.config_file import with_values
from kvgg_jax.core.devices.check import check_jax
from kvgg_jax.core.events import Emit, Finished, Started, ignore
from kvgg_jax.core.history import History
from kvgg_jax.core.keras_gate import keras
from kvgg_jax.core.state import TrainState, discard
from kvgg_jax.core.tables.optim import OptimConfig
from kvgg_jax.core.tables.train import TrainConfig
from kvgg_jax.core.text import qualified_name
from kvgg_jax.models.build import assign_weights
from kvgg_jax.models.compile import compile_step
from kvgg_jax.runs.charts import curves_at_the_end
from kvgg_jax.runs.folder import FIT, Run
from kvgg_jax.runs.manifest import identity
from kvgg_jax.training.loop import LoopInputs, never, run_epochs, why_ended
from kvgg_jax.training.losses import Loss, cross_entropy, make_loss
from kvgg_jax.training.optimizers import rates_of, ready_optimizer
from kvgg_jax.training.own.batches import CheckedBatches, Source, read_first
from kvgg_jax.training.own.folder import check_same, held, started_with
from kvgg_jax.training.own.outputs import count_classes
from kvgg_jax.training.own.unnumbered import Unnumbered, UnnumberedCheckpoints
from kvgg_jax.training.recorder import Recorder
from kvgg_jax.training.step import init_state, make_eval_step, make_train_step, zero_tally

DEFAULT = TrainConfig()
RATE = OptimConfig().lr


@dataclass(frozen=True, slots=True)
class FitResult:
    """Where the checkpoints are and what was measured."""

    folder: Path
    history: History
    reason: str
    """Why training ended."""


def fit(
    model: keras.Model,
    train: Source,
    val: Source,
    *,
    folder: str | Path,
    epochs: int = DEFAULT.epochs,
    optimizer: keras.Optimizer | None = None,
    loss: Loss | None = None,
    patience: int = DEFAULT.patience,
    min_delta: float = DEFAULT.min_delta,
    save_every_steps: int | None = DEFAULT.save_every_steps,
    stop: Callable[[], bool] = never,
    emit: Emit = ignore,
) -> FitResult:
    """Train a network of your own; called again with the same `folder`, go on from the last save.

    `model` gives logits, float32 [batch, classes]; at the end it has the weights of the best epoch.
    `train` and `val` give `(inputs, labels)`: inputs are uint8, which is scaled to [0, 1], or
    floats; labels are whole numbers [batch], or shares of the classes [batch, classes]. Each is a
    list or a dataset that can be read again, or a function `epoch -> batches`, epochs from 1. A
    resume is exact, to the bit, where an epoch's batches depend on its number alone. All batches of
    an epoch have one size; a smaller last one is padded with rows of weight 0.

    `optimizer` is one of Keras, without it Adam at 1e-4. `loss(labels, logits)` gives a float per
    row, [batch], without it the cross-entropy, which validation always measures; JAX traces both.
    `patience`, `min_delta` and `save_every_steps` are those of the table `train`. `stop` is asked
    after each step; when it returns True, all is saved and Stopped is raised. Until the end,
    `model` and `optimizer` stay as they are.

    Raises KvggError for batches, a network or a folder that cannot be used, before anything is
    written; DataError for a batch that is wrong later; NonFiniteLoss when training diverges.
    """
    check_jax()
    config = _config(
        epochs=epochs, patience=patience, min_delta=min_delta, save_every_steps=save_every_steps
    )
    run = Run(Path(folder), FIT)
    with held(run) as create:
        known = started_with(run, epochs)
        data = _read_sources(model, {"train": train, "val": val}, known, emit)
        optimizer = ready_optimizer(optimizer or keras.optimizers.Adam(RATE), model)
        task = _Task(model, optimizer, make_loss(OptimConfig(), own=loss), *data, config)
        info = {
            "settings": {**_settings(task), "loss": qualified_name(loss or cross_entropy)},
            "data": {"first_batch": task.train.first.digest()},
        }
        check_same(run, known, info, emit) if known else create({**identity(), **info})
        emit(Started(run.path))
        history, reason = task.run(run, stop=stop, emit=emit)
    emit(Finished(run.path, history, reason))
    return FitResult(run.path, history, reason)


def _config(**values: object) -> TrainConfig:
    """Raises ConfigError for a value that cannot be."""
    keys = {f"train.{name}": value for name, value in values.items()}
    return with_values(RunConfig(), keys, where="fit").train


class _Task(NamedTuple):
    """What is trained, on what, and how long."""

    model: keras.Model
    optimizer: keras.Optimizer
    loss: Loss
    train: CheckedBatches
    val: CheckedBatches
    config: TrainConfig

    def run(self, run: Run, *, stop: Callable[[], bool], emit: Emit) -> tuple[History, str]:
        """Train in `run`, unless it has ended, and give the model the best weights."""
        names, like = Unnumbered(self.model, self.optimizer), init_state(self.model, self.optimizer)
        history = run.history()
        reason = why_ended(history, self.config) if run.info().get("status") == "finished" else None
        with UnnumberedCheckpoints(run.checkpoints, run=run, names=names, emit=emit) as checkpoints:
            if reason is None:
                with curves_at_the_end(run):
                    recorder = Recorder(run, checkpoints, steps=self.train.steps, emit=emit)
                    history, reason = self._train(like, recorder, stop, emit)
                run.update_info(status="finished", seconds=history.seconds, reason=reason)
            checkpoints.wait()
            _, best = checkpoints.load_best((like.params, like.model_state))
        assign_weights(self.model, best)
        return history, reason

    def _train(
        self, like: TrainState, recorder: Recorder, stop: Callable[[], bool], emit: Emit
    ) -> tuple[History, str]:
        fresh = jax.tree.map(jnp.copy, like)  # steps donate it: the model's own arrays stay
        progress = recorder.restore(fresh)
        if progress.state is not fresh:
            discard(fresh)
        inputs = self._assemble(progress.state, emit)
        return run_epochs(inputs, self.config, progress, recorder=recorder, stop=stop, emit=emit)

    def _assemble(self, state: TrainState, emit: Emit) -> LoopInputs:
        step = make_train_step(self.model, self.optimizer, loss=self.loss)
        example = (state, zero_tally(), self.train.example)
        evaluation = (state.params, state.model_state, self.val.example)
        return LoopInputs(
            train_step=compile_step("training", step, *example, donate=(0,), emit=emit),
            eval_step=compile_step(
                "evaluation", make_eval_step(self.model), *evaluation, emit=emit
            ),
            train=self.train,
            val=self.val,
            learning_rate=rates_of(self.optimizer),
            remedy="learning rate",
        )


def _read_sources(
    model: keras.Model, sources: dict[str, Source], known: dict[str, Any], emit: Emit
) -> tuple[CheckedBatches, CheckedBatches]:
    """Batches for training and for validation. Raises KvggError for what the model cannot take."""
    steps, found = known.get("settings", {}), list[CheckedBatches]()
    for name, source in sources.items():
        first = read_first(name, source)
        found.append(
            CheckedBatches(
                name,
                source,
                first,
                classes=count_classes(model, name, first.inputs),
                steps=steps.get(f"{name}.steps"),
                emit=emit,
            )
        )
    train, val = found
    return train, val


def _settings(task: _Task) -> dict[str, Any]:
    """All that decides a run and can be told from outside: what a resume must have again."""
    try:
        with warnings.catch_warnings():  # Keras reads its own rate in a way that NumPy deprecates
            warnings.simplefilter("ignore", DeprecationWarning)
            optimizer = task.optimizer.get_config()
    except NotImplementedError:  # of a schedule of the caller's own
        optimizer = {}
    optimizer = {"class": qualified_name(task.optimizer), **optimizer}
    optimizer.pop("name", None)  # Keras numbers them
    facts = {
        **task.config.model_dump(include={"epochs", "patience", "min_delta"}),
        **task.train.describe(),
        **task.val.describe(),
        **{f"optimizer.{key}": value for key, value in optimizer.items()},
    }
    return json.loads(json.dumps(facts, default=qualified_name))
