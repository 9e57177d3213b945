"""The order of operations of a training run. No printing, no files: it decides, others observe."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import jax
import numpy as np
from numpy.typing import NDArray

from kvgg_jax.config import TrainConfig
from kvgg_jax.errors import NonFiniteLoss
from kvgg_jax.events import Emit, EpochEnded, Progress, ignore
from kvgg_jax.history import Epoch, History, Metrics
from kvgg_jax.state import Batch, Tally, TrainState, Weights
from kvgg_jax.step import EvalStep, TrainStep, zero_tally


class Batches(Protocol):
    """What the loop asks of a data pipeline."""

    @property
    def steps(self) -> int:
        """Batches an epoch."""

    def epoch(self, epoch: int, *, start: int = 0) -> Iterator[Batch]:
        """The batches of an epoch from step `start` on."""


@dataclass(frozen=True, slots=True)
class Task:
    """Compiled steps, the batches to feed them, and what surrounds them."""

    train_step: TrainStep
    eval_step: EvalStep
    train: Batches
    val: Batches
    learning_rate: Callable[[int], float]
    """Steps already taken -> the rate of the next step."""
    clock: Callable[[], float] = time.perf_counter


def fit(
    task: Task,
    config: TrainConfig,
    progress: tuple[TrainState, History],
    *,
    save: Callable[[TrainState, History], None],
    emit: Emit = ignore,
) -> tuple[History, str]:
    """Train from a state, after the epochs in its history, to the end; say why it ended.

    `save` is called at each epoch's end, before the next step takes over the state's arrays.
    Raises NonFiniteLoss. A run cut between epochs and called again gives the same history.
    """
    state, history = progress
    epochs, patience = config.epochs, config.patience
    for epoch in range(len(history) + 1, epochs + 1):
        if history.stale(config.min_delta) >= patience:
            return history, (
                f"validation accuracy has not risen by more than {config.min_delta:g} "
                f"for {patience} epochs"
            )
        state, row = run_epoch(task, state, epoch, emit)
        history = history.append(row)
        save(state, history)
        emit(EpochEnded(row, epochs, is_best=history.best == row))
    return history, f"all {epochs} epochs are done"


def run_epoch(task: Task, state: TrainState, epoch: int, emit: Emit) -> tuple[TrainState, Epoch]:
    """One pass over the training pictures, then one over the validation pictures."""
    started = task.clock()
    state, trained = train_epoch(task, state, epoch, emit)
    train_seconds = task.clock() - started
    weights = state.params, state.model_state
    validated, _ = evaluate(task.eval_step, weights, task.val, emit=emit, epoch=epoch)
    return state, Epoch(
        epoch=epoch,
        loss=trained.loss,
        accuracy=trained.accuracy,
        val_loss=validated.loss,
        val_accuracy=validated.accuracy,
        learning_rate=task.learning_rate(int(state.step) - 1),
        seconds=task.clock() - started,
        images_per_second=trained.count / max(train_seconds, 1e-9),
    )


def train_epoch(
    task: Task, state: TrainState, epoch: int, emit: Emit
) -> tuple[TrainState, Metrics]:
    """The training half of an epoch.

    The host stays one step behind the device: while a step runs, the loss of the step before is
    read, so that a diverged run stops at once and a progress bar shows what is really done.
    """
    tally, steps = zero_tally(), task.train.steps
    for done, batch in enumerate(task.train.epoch(epoch)):
        previous = tally
        state, tally = task.train_step(state, previous, batch)
        if done:
            _check_finite(previous, task, epoch=epoch, done=done)
        emit(Progress("training", done, steps, len(batch.labels), epoch))
    _check_finite(tally, task, epoch=epoch, done=steps)
    emit(Progress("training", steps, steps, len(batch.labels), epoch))
    return state, metrics(tally)


def evaluate(
    step: EvalStep, weights: Weights, batches: Batches, *, emit: Emit = ignore, epoch: int = 0
) -> tuple[Metrics, NDArray[np.float32]]:
    """Metrics over all pictures of `batches`, and their probabilities, float32 [count, classes].

    Training and the `evaluate` command both call this, so that they measure the same figures.
    """
    tally, parts = zero_tally(), []
    for done, batch in enumerate(batches.epoch(0), 1):
        now, probabilities = step(*weights, batch)
        tally = Tally(*(a + b for a, b in zip(tally, now, strict=True)))
        parts.append(np.asarray(probabilities)[np.asarray(batch.weight) > 0])
        emit(Progress("validating", done, batches.steps, len(batch.labels), epoch))
    return metrics(tally), np.concatenate(parts)


def metrics(tally: Tally) -> Metrics:
    """The ratios of a tally, on the host. This waits for the device."""
    loss, correct, count = (float(value) for value in jax.device_get(tally))
    return Metrics(loss / count, correct / count, round(count))


def _check_finite(tally: Tally, task: Task, *, epoch: int, done: int) -> None:
    loss = float(jax.device_get(tally.loss))
    if math.isfinite(loss):
        return
    step = (epoch - 1) * task.train.steps + done
    raise NonFiniteLoss(
        f"The loss became {loss} in epoch {epoch}, step {done} of {task.train.steps} "
        f"(step {step} of the run), at learning rate {task.learning_rate(step - 1):.3g}. "
        "Try a lower --lr, --batch-norm, or --precision float32; the checkpoints of earlier "
        "epochs are untouched."
    )
