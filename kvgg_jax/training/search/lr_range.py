"""A learning-rate range test (Smith 2017, section 3.3), smoothed and ended as in fastai."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from pathlib import Path

import jax

from kvgg_jax.core.config import RunConfig
from kvgg_jax.core.devices.mesh import place_rows
from kvgg_jax.core.errors import NonFiniteLoss, UsageError
from kvgg_jax.core.events import Emit, Progress, ignore
from kvgg_jax.core.memory import training_memory_advice
from kvgg_jax.runs import catalog
from kvgg_jax.training.inputs import complete_config
from kvgg_jax.training.setup import devices_of
from kvgg_jax.training.step import zero_tally
from kvgg_jax.training.trainer import prepare

EXPLODED = 4  # times the lowest smoothed loss; the factor of fastai's lr_find
SHARE = 0.1  # of the steps is what the smoothed loss is, roughly, a mean over
MARGIN = 3  # a tenth, a common rule, was too low for Adam: docs/tuning.md has the figures


@dataclass(frozen=True, slots=True)
class RangeTest:
    """The learning rates of the steps, and their losses; equally many of each, one or more."""

    rates: tuple[float, ...]
    losses: tuple[float, ...]
    """Of each step's images, before the step: the mean training loss in nats, label smoothing and
    class weights included."""
    smoothed: tuple[float, ...]
    """A moving average of the losses, corrected for its start."""
    reason: str
    """Why it ended."""

    @property
    def lowest(self) -> int:
        """At which step the smoothed loss is lowest."""
        return min(range(len(self.smoothed)), key=self.smoothed.__getitem__)

    @property
    def suggested(self) -> float | None:
        """A third of the rate there; None where the loss never fell."""
        return self.rates[self.lowest] / MARGIN if self.lowest else None

    @property
    def still_falling(self) -> bool:
        """Whether the smoothed loss is lowest at the last rate: a higher one may be better."""
        return self.lowest == len(self.rates) - 1


def lr_find(
    config: RunConfig | None = None,
    *,
    low: float = 1e-7,
    high: float = 1.0,
    steps: int = 100,
    out: str | Path = catalog.OUT,
    emit: Emit = ignore,
) -> RangeTest:
    """Train for `steps` steps while the rate rises from `low` to `high` by an equal factor each.

    It ends earlier once the smoothed loss is 4 times the lowest so far, or a loss is not finite.
    Step, photos, augmentation and first weights are those of `train`; `out` holds the runs among
    which weights are looked for, and no run is written. Raises KvggError as `train` does,
    NonFiniteLoss when the very first loss is not finite.
    """
    if not 0 < low < high < math.inf or steps < 2:
        raise UsageError(f"From {low:g} to {high:g} in {steps} steps: the rate cannot rise so.")
    config = config or RunConfig()
    if config.solves_head:
        raise UsageError("A linear head is solved, at no rate: choose another, `model.head = gap`.")
    config = complete_config(config, emit, out=out)
    # The exponential schedule, upwards; as a setting it must fall, so this is not validated.
    rising = {"lr": low, "decay_steps": steps - 1, "decay_rate": high / low, "staircase": False}
    alone = {"schedule": "exponential", "warmup_steps": 0, "unfreeze_every": None}
    config = config.model_copy(update={"optim": config.optim.model_copy(update=rising | alone)})
    rates, losses, smoothed = list[float](), list[float](), list[float]()
    average, keep = 0.0, 1 - 1 / max(SHARE * steps, 1)
    reason = f"all {steps} steps are done"
    with devices_of(config), training_memory_advice(config):
        inputs, state = prepare(config, emit)
        epochs = map(inputs.train.epoch, itertools.count(1))
        for step, batch in zip(range(steps), itertools.chain.from_iterable(epochs), strict=False):
            state, tally = inputs.train_step(state, zero_tally(), place_rows(batch))
            loss, _, count = map(float, jax.device_get(tally))
            emit(Progress("testing rates", step + 1, steps, len(batch.labels)))
            rate = inputs.learning_rate(step)
            if not math.isfinite(loss):
                reason = f"the loss was {loss} at {rate:.1e}"
                break
            rates.append(rate)
            losses.append(loss / count)
            average = keep * average + (1 - keep) * losses[-1]
            smoothed.append(average / (1 - keep ** (step + 1)))
            if smoothed[-1] > EXPLODED * min(smoothed):
                reason = f"the loss exploded at {rate:.1e}"
                break
    if not rates:
        raise NonFiniteLoss(
            f"The loss was {loss} before the first step. Try `model.batch_norm = true`."
        )
    return RangeTest(tuple(rates), tuple(losses), tuple(smoothed), reason)
