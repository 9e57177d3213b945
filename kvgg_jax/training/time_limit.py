"""`train.time`: how much training fits into it, planned once, and when it is over.

The plan is made of a few steps, measured before the first one, and kept in `run.json`. It decides
the length of a schedule, so a resumed run has the rates of one that never stopped. When the run
ends is up to the clock alone. A run has at least one step and its validation.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from itertools import chain, count, islice
from typing import TYPE_CHECKING

from kvgg_jax.core.config import RunConfig
from kvgg_jax.core.devices.hosts import from_main, is_main
from kvgg_jax.core.devices.mesh import place_rows
from kvgg_jax.core.devices.stopping import agreed
from kvgg_jax.core.errors import ConfigError, Stopped
from kvgg_jax.core.events import Emit, Note, Progress, Warned, only_progress
from kvgg_jax.core.state import Batch, TrainState
from kvgg_jax.core.text import counted
from kvgg_jax.runs.checkpoint import Checkpoints
from kvgg_jax.runs.folder import Run
from kvgg_jax.training.ema import with_ema_weights
from kvgg_jax.training.loop import Batches, Limit, LoopInputs, RunProgress, evaluate
from kvgg_jax.training.step import zero_tally

if TYPE_CHECKING:
    from kvgg_jax.training.setup import Network

Build = Callable[[RunConfig, int | None, Emit], "Network"]
"""The network of a run whose optimizer takes so many steps; None: those of all epochs."""
WARM, MEASURED = 1, 5  # steps, and batches of the validation
MARGIN = 2  # steps: the one that runs while the clock is read, and the one after it


@dataclass(frozen=True, slots=True)
class Plan:
    """What fits into `train.time`."""

    epochs: int
    """The last one may be cut."""
    steps: int
    """Of the optimizer."""
    step_seconds: float
    validation_seconds: float
    """Of a whole validation."""
    save_seconds: float
    """Of a save of all that a resume needs."""

    @property
    def end_seconds(self) -> float:
        """Of what ends each epoch."""
        return self.validation_seconds + self.save_seconds


def plan_run(
    run: Run, config: RunConfig, build: Build, *, stop: Callable[[], bool], emit: Emit
) -> Plan | None:
    """The plan that `run` keeps, or makes now on a network of its own; None without a time.

    Raises ConfigError where the warm-up does not fit, RunError where nothing can be saved, and
    Stopped.
    """
    if config.train.time is None:
        return None
    if kept := run.info().get("plan"):
        return Plan(**kept)

    quiet = only_progress(emit)  # all else is said of the network that is trained
    network = build(config, config.optim.warmup_steps + 1, quiet)
    inputs = network.assemble(network.state, quiet)
    here = _measure(inputs, network.state, run, stop=stop, emit=emit)
    measured = from_main(lambda: list(here))  # all have one plan
    plan = plan_time(config, *measured, per_epoch=inputs.train.steps)
    run.update_info(plan=asdict(plan))
    if plan.step_seconds + plan.end_seconds > (config.train.seconds or 0):
        text = f"`train.time = {config.train.time}` is too short for a step and what ends an epoch"
        emit(Warned(f"{text}: the run has one step and takes longer."))
    emit(Note(_describe(plan, config)))
    return plan


def _describe(plan: Plan, config: RunConfig) -> str:
    steps, epochs = counted(plan.steps, "step"), counted(plan.epochs, "epoch")
    return (
        f"Planned for {config.train.time}: {steps} of {plan.step_seconds:.3g} s in {epochs}, each "
        f"with a validation of {plan.validation_seconds:.3g} s and a save of "
        f"{plan.save_seconds:.3g} s"
    )


def plan_time(
    config: RunConfig, step: float, validation: float, save: float, *, per_epoch: int
) -> Plan:
    """What fits into `train.time`, where a step, a validation and a save take so many seconds.

    An epoch has `per_epoch` steps, a validation and a save. One step is planned at least. Raises
    ConfigError where no more than the steps of the warm-up fit.
    """
    limit, text = config.train.seconds or 0.0, f"`train.time = {config.train.time}`"
    whole, left = divmod(limit, per_epoch * step + validation + save)
    more = max(int((left - validation - save) / step), 0 if whole else 1)
    steps = int(whole) * per_epoch + more
    if steps <= config.optim.warmup_steps:
        raise ConfigError(
            f"`optim.warmup_steps = {config.optim.warmup_steps}`: {steps} steps fit into {text}. "
            f"Choose fewer, such as {steps // 10}, or a longer time."
        )
    return Plan(int(whole) + (more > 0), steps, step, validation, save)


def planned(config: RunConfig, plan: Plan | None) -> tuple[RunConfig, int | None]:
    """The configuration with as many epochs as fit, and the steps of the optimizer; None: of all
    epochs. A first epoch that solves the head has none."""
    if plan is None:
        return config, None
    return config.with_train(epochs=plan.epochs + config.solves_head), plan.steps


class TimeLimit(Limit):
    """Over when one more step and the end of its epoch would take longer than is left of
    `train.time`.

    The clock begins now; what the epochs so far have taken is spent. All processes agree.
    """

    def __init__(
        self, plan: Plan, config: RunConfig, progress: RunProgress, clock: Callable[[], float]
    ) -> None:
        spent = progress.history.seconds + progress.partial.seconds
        self._clock, self._end = clock, clock() + (config.train.seconds or 0) - spent
        self._steps, self._ending = MARGIN * plan.step_seconds, plan.end_seconds
        self._ask = agreed(self._is_over)

    def is_over(self) -> bool:
        """Asked after each step."""
        return self._ask()

    def ended(self, seconds: float) -> None:
        """The longest end of an epoch counts."""
        self._ending = max(self._ending, seconds)

    def _is_over(self) -> bool:
        return self._clock() + self._steps + self._ending > self._end


class _First:
    """The first batches of a validation."""

    def __init__(self, batches: Batches, steps: int) -> None:
        self._batches, self.steps = batches, steps

    def epoch(self, epoch: int, *, start: int = 0) -> Iterator[Batch]:
        """As many as `steps`."""
        return islice(self._batches.epoch(epoch, start=start), self.steps)


def _measure(
    inputs: LoopInputs, state: TrainState, run: Run, *, stop: Callable[[], bool], emit: Emit
) -> tuple[float, float, float]:
    """Seconds of a step, a validation and a save, without what the first of each takes longer."""
    batches = chain.from_iterable(inputs.train.epoch(epoch) for epoch in count(1))
    started, tally = inputs.clock(), zero_tally()
    for done, batch in enumerate(islice(batches, WARM + MEASURED), 1):
        state, tally = inputs.train_step(state, tally, place_rows(batch))
        if done in (WARM, WARM + MEASURED):
            float(tally.loss)  # waits for the device, which else works ahead as in training
        emit(Progress("measuring", done, WARM + MEASURED, len(batch.labels)))
        if done == WARM:
            started = inputs.clock()
        if stop():
            raise Stopped("Stopped before the first step.")
    step = (inputs.clock() - started) / MEASURED
    weights, few = with_ema_weights(state), min(MEASURED, inputs.val.steps)
    for some in (1, few):
        started = inputs.clock()
        evaluate(inputs.eval_step, (weights.params, weights.model_state), _First(inputs.val, some))
    validation = (inputs.clock() - started) / few * inputs.val.steps
    return step, validation, _measure_save(state, run, inputs.clock)


def _measure_save(state: TrainState, run: Run, clock: Callable[[], float]) -> float:
    """Seconds of a save into a folder of `run` that is removed again."""
    folder = run.path / "measured"
    try:
        with Checkpoints(folder, run=run) as checkpoints:
            for _ in range(2):
                started = clock()
                checkpoints.save_last(state)
                checkpoints.wait()
            return clock() - started
    finally:
        if is_main():
            shutil.rmtree(folder, ignore_errors=True)
