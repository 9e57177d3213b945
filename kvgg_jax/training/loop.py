"""The order of operations of a training run. No printing, no files, no signals: it decides,
others observe, save and ask it to stop."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from kvgg_jax.core.devices.mesh import place_rows
from kvgg_jax.core.errors import NonFiniteLoss, Stopped
from kvgg_jax.core.events import Emit, EpochEnded, Progress, ignore
from kvgg_jax.core.history import (
    NOTHING_YET,
    Epoch,
    EpochProgress,
    History,
    Metrics,
    ratios,
    title,
)
from kvgg_jax.core.state import Batch, Tally, TrainState, Weights
from kvgg_jax.core.tables.train import TrainConfig
from kvgg_jax.inference.prediction import Probabilities
from kvgg_jax.training.ema import with_ema_weights
from kvgg_jax.training.step import EmbedStep, EvalStep, TrainStep, zero_tally


class Batches(Protocol):
    """What the loop reads: batches of one shape, whose order depends on the epoch alone."""

    @property
    def steps(self) -> int:
        """Batches an epoch."""

    def epoch(self, epoch: int, *, start: int = 0) -> Iterator[Batch]:
        """The batches of `epoch` from step `start` on; epoch 0 is a pass for validation."""


@dataclass(frozen=True, slots=True)
class LoopInputs:
    """Compiled steps and the batches to feed them."""

    train_step: TrainStep
    eval_step: EvalStep
    train: Batches
    val: Batches
    learning_rate: Callable[[int], float]
    """Steps already taken -> the rate of the next step."""
    first_epoch: FirstEpoch | None = None
    """What takes the place of the first epoch's steps and validation."""
    remedy: str = "`optim.lr`, `model.batch_norm = true`, or `train.precision = float32`"
    """What to try, after "a lower", where the loss becomes NaN."""
    clock: Callable[[], float] = time.perf_counter
    measure: Callable[[Probabilities], dict[str, Any]] = lambda probabilities: {}
    """Validation probabilities, in the order of `val` -> columns of the epoch's row that are not
    made of sums."""


class RunProgress(NamedTuple):
    """How far a run has come: its state, the epochs done, and what it has of the next one."""

    state: TrainState
    history: History
    partial: EpochProgress = NOTHING_YET


class Recorder(Protocol):
    """Saves what a run has reached. The state's arrays are donated once a call returns."""

    def save(self, state: TrainState, partial: EpochProgress) -> None:
        """Save a state within an epoch, or at the end of its training half."""

    def wait(self) -> None:
        """Until what was saved is on the disk."""

    def record(self, state: TrainState, history: History) -> None:
        """Save an epoch that has ended, and its weights when it is the best."""


def never() -> bool:
    """The `stop` of a run that nobody stops."""
    return False


class Limit:
    """What ends a run beside its number of epochs; this one never does."""

    def is_over(self) -> bool:
        """Whether the epoch, and the run with it, ends with the last step."""
        return False

    def ended(self, seconds: float) -> None:
        """Called with what the validation of an epoch and its save have taken."""


UNLIMITED = Limit()


@dataclass(frozen=True, slots=True)
class Hooks:
    """What an epoch calls."""

    recorder: Recorder
    save_every: int | None = None
    stop: Callable[[], bool] = never
    emit: Emit = ignore
    limit: Limit = UNLIMITED


FirstEpoch = Callable[[TrainState, Hooks], tuple[TrainState, Epoch]]


def run_epochs(
    inputs: LoopInputs,
    config: TrainConfig,
    progress: RunProgress,
    *,
    recorder: Recorder,
    stop: Callable[[], bool] = never,
    limit: Limit = UNLIMITED,
    emit: Emit = ignore,
) -> tuple[History, str]:
    """Train from `progress` to the end; return the history and why the run ended.

    `stop` is asked before the first step and after each; when it returns True, the state is saved
    by `recorder` and Stopped is raised. `limit` is asked after each step: when it is over, the
    epoch is validated where it is, and the run has ended. So every run has an epoch. A run that
    was stopped at any step and called again with what was saved gives the same history. Raises
    NonFiniteLoss too.
    """
    state, history, partial = progress
    hooks = Hooks(recorder, config.save_every_steps, stop, emit, limit)
    while (reason := why_ended(history, config)) is None:
        if len(history) and not partial.steps and limit.is_over():
            reason = f"the time of {config.time} is over"
            break
        epoch = len(history) + 1
        if epoch == 1 and inputs.first_epoch is not None:
            state, row = inputs.first_epoch(state, hooks)
        else:
            state, row = run_epoch(inputs, state, epoch, partial, hooks)
        partial, history = NOTHING_YET, history.append(row)
        recorder.record(state, history)
        is_best = history.best == row
        epochs = max(config.epochs, epoch)  # more where a time is the limit
        emit(EpochEnded(row, epochs, is_best=is_best, monitor=history.monitor))
    return history, reason


def why_ended(history: History, config: TrainConfig) -> str | None:
    """Why a run ends here; None where it goes on."""
    if config.time is None and len(history) >= config.epochs:
        return f"all {config.epochs} epochs are done"
    if history.stale(config.min_delta) < config.patience:
        return None
    moved = "fallen" if history.monitor == "loss" else "risen"
    return (
        f"validation {title(history.monitor)} has not {moved} by more than {config.min_delta:g} "
        f"for {config.patience} epochs"
    )


def run_epoch(
    inputs: LoopInputs, state: TrainState, epoch: int, partial: EpochProgress, hooks: Hooks
) -> tuple[TrainState, Epoch]:
    """One pass over the training images, less what `partial` has of it, a validation and a save."""
    started = inputs.clock() - partial.seconds
    state, partial = train_epoch(inputs, (state, partial), epoch, started, hooks)
    weights = with_ema_weights(state)
    validated, probabilities = evaluate(
        inputs.eval_step,
        (weights.params, weights.model_state),
        inputs.val,
        stop=hooks.stop,
        emit=hooks.emit,
        epoch=epoch,
    )
    hooks.recorder.wait()  # so that the seconds of all epochs are the time of the run
    trained, seconds = partial.metrics, inputs.clock() - started
    hooks.limit.ended(seconds - partial.seconds)
    return state, Epoch(
        epoch=epoch,
        loss=trained.loss,
        accuracy=trained.accuracy,
        val_loss=validated.loss,
        val_accuracy=validated.accuracy,
        learning_rate=inputs.learning_rate(int(state.step) - 1),
        seconds=seconds,
        images_per_second=trained.count / max(partial.seconds, 1e-9),
        **inputs.measure(probabilities),
    )


def train_epoch(
    inputs: LoopInputs,
    so_far: tuple[TrainState, EpochProgress],
    epoch: int,
    started: float,
    hooks: Hooks,
) -> tuple[TrainState, EpochProgress]:
    """The training half of an epoch that began at `started` by the clock of `inputs`.

    The host stays one step behind the device: while a step runs, the loss of the step before is
    read. So a diverged run stops at once, and a progress bar shows what is really done.
    """
    (state, partial), steps = so_far, inputs.train.steps
    if hooks.stop():  # all that was done is saved already
        raise Stopped(f"Stopped in epoch {epoch}, after step {partial.steps} of {steps}.")
    if partial.steps == steps or (partial.steps and hooks.limit.is_over()):
        return state, partial
    tally = Tally(*(jnp.float32(value) for value in partial.sums))
    for done, batch in enumerate(inputs.train.epoch(epoch, start=partial.steps), partial.steps + 1):
        previous = tally
        placed = place_rows(batch)
        state, tally = inputs.train_step(state, previous, placed)
        _check_finite(previous, inputs, epoch=epoch, done=done - 1)
        hooks.emit(Progress("training", done - 1, steps, len(batch.labels), epoch))
        stopping, is_over = hooks.stop(), hooks.limit.is_over()
        is_last = is_over or done == steps
        if stopping or is_last or (hooks.save_every and done % hooks.save_every == 0):
            _check_finite(tally, inputs, epoch=epoch, done=done)
            loss, correct, count = _numbers(tally)
            partial = EpochProgress(done, loss, correct, count, seconds=inputs.clock() - started)
            hooks.recorder.save(state, partial)
        if stopping:
            raise Stopped(f"Stopped in epoch {epoch}, after step {done} of {steps}.")
        if is_over:
            break
    hooks.emit(Progress("training", partial.steps, steps, len(batch.labels), epoch))
    return state, partial


def evaluate(
    step: EvalStep,
    weights: Weights,
    batches: Batches,
    *,
    stop: Callable[[], bool] = never,
    emit: Emit = ignore,
    epoch: int = 0,
) -> tuple[Metrics, Probabilities]:
    """Metrics over all images of `batches`, and their probabilities, float32 [count, classes].

    Training and the `evaluate` command both call this, so they measure the same. Raises Stopped as
    soon as `stop` returns True.
    """
    tally, parts = zero_tally(), []
    for done, batch in enumerate(batches.epoch(0), 1):
        now, probabilities = step(*weights, place_rows(batch))
        tally = tally.merge(now)
        parts.append(np.asarray(probabilities)[: int(now.count)])  # fillers come last
        emit(Progress("validating", done, batches.steps, len(batch.labels), epoch))
        if stop():
            raise Stopped(f"Stopped while validating epoch {epoch}.")
    return ratios(*_numbers(tally)), np.concatenate(parts)


def embed(
    step: EmbedStep, weights: Weights, batches: Batches, *, stop: Callable[[], bool], emit: Emit
) -> NDArray[np.float32]:
    """What the last layer takes, [rows, width], of images and then fillers. Raises Stopped."""
    parts = []
    for done, batch in enumerate(batches.epoch(0), 1):
        parts.append(np.asarray(step(*weights, place_rows(batch))))
        emit(Progress("embedding", done, batches.steps, len(batch.labels)))
        if stop():
            raise Stopped("Stopped after the last epoch, while embedding the photos.")
    return np.concatenate(parts)


def _numbers(tally: Tally) -> list[float]:
    """The sums on the host. This waits for the device."""
    return [float(value) for value in jax.device_get(tally)]


def _check_finite(tally: Tally, inputs: LoopInputs, *, epoch: int, done: int) -> None:
    loss = float(jax.device_get(tally.loss))
    if math.isfinite(loss):
        return
    step = (epoch - 1) * inputs.train.steps + done
    raise NonFiniteLoss(
        f"The loss became {loss} in epoch {epoch}, step {done} of {inputs.train.steps} "
        f"(step {step} of the run), at learning rate {inputs.learning_rate(step - 1):.3g}. "
        f"Try a lower {inputs.remedy}; the checkpoints before it are untouched."
    )
