"""The table `train`."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, model_validator

from kvgg_jax.core.history import Monitor
from kvgg_jax.core.settings import setting
from kvgg_jax.core.tables.table import Table, as_text

TIME = re.compile(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?", re.ASCII)
PLACE = "decides where a step is computed, not what it computes. Set it for the whole search."
MONITOR = "decides which trial is the best. Set it for the whole search."
Tracked = Literal["tensorboard", "mlflow", "wandb"]


def _as_names(value: object) -> object:
    """`"a,b"` (a flag) or `["a", "b"]` (TOML) as a tuple; `"none"` is empty."""
    if isinstance(value, str):
        value = [] if value == "none" else value.split(",")
    return tuple(value) if isinstance(value, list) else value


def _count_or_all(count: str) -> str:
    if count != "all" and not (count.isascii() and count.isdecimal() and 0 < int(count) <= 4096):
        raise ValueError(f"{count!r} is not a number of devices: use 1 to 4096, or all")
    return count


def _seconds(time: str) -> int:
    found = TIME.fullmatch(time)
    hours, minutes, seconds = (int(part or 0) for part in found.groups()) if found else (0, 0, 0)
    return 3600 * hours + 60 * minutes + seconds


def _a_time(time: str) -> str:
    if not TIME.fullmatch(time) or not time:
        raise ValueError(f"{time!r} is not a time: write it as 2h, 90m, 45s or 1h30m")
    if not _seconds(time):
        raise ValueError(f"{time!r} must be longer than 0")
    return time


class TrainConfig(Table):
    """How long to train, with which batches, and when to stop."""

    epochs: int = setting(20, "epochs", resume="flag", ge=1)
    """Passes over the training photos."""
    time: Annotated[str, AfterValidator(_a_time)] | None = setting(None, "epochs")
    """Time to train, such as 2h, 90m or 1h30m, in place of `train.epochs`. What fits in is planned
    after a few measured steps; the last epoch is cut so that its validation fits in too (below)."""
    batch_size: int = setting(32, "network", "step", "features", ge=1)
    """Photos per step."""
    accumulate: int = setting(1, "step", "features", ge=1)
    """Parts to compute each batch in, to save memory. Batch norm sees one part at a time."""
    monitor: Monitor = setting("accuracy", "epochs", no_search=MONITOR)
    """What decides which epoch is best: accuracy, loss, balanced_accuracy or macro_f1. It is
    measured on the validation photos, and decides for `train.patience` and `kvgg tune` too
    (below)."""
    patience: int = setting(20, "epochs", ge=1)
    """Epochs without a gain in `train.monitor` after which training stops."""
    min_delta: float = setting(0.001, "epochs", ge=0, allow_inf_nan=False)
    """Smallest gain in `train.monitor` that counts as better."""
    precision: Literal["float32", "bfloat16"] = setting("float32", "step", "features")
    """Compute in float32 or bfloat16. Weights and logits have 32 bits in both."""
    ema: float | None = setting(None, "step", gt=0, lt=1)
    """Keep a moving average of the weights with this decay, such as 0.999, and evaluate that."""
    class_weight: Literal["none", "balanced"] = setting("none", "update")
    """Weights in the loss: none, or balanced: classes with fewer photos count more. See below."""
    devices: Annotated[str, BeforeValidator(as_text), AfterValidator(_count_or_all)] = setting(
        "1", "step", choices=["all"], resume="flag", no_search=PLACE
    )
    """Devices of this machine to train on: a number, or all. They share each batch evenly
    (docs/how-to/many-devices.md)."""
    shard: Literal["none", "fsdp"] = setting("none", "step", resume="flag", no_search=PLACE)
    """Weights and optimizer state on several devices: none or fsdp. `none`: each holds all of them;
    `fsdp`: each holds an equal part of every large array, for networks that are too large for one
    device."""
    save_every_steps: int | None = setting(None, "saving", resume="config", ge=1)
    """Steps after which to save within an epoch too: a crash loses no more than these."""
    track: Annotated[tuple[Tracked, ...], BeforeValidator(_as_names)] = setting(
        (), "saving", resume="flag"
    )
    """Log each epoch to tensorboard, mlflow, wandb (several with commas), or none.
    See [tracking.md](tracking.md)."""

    @model_validator(mode="after")
    def _divides(self) -> TrainConfig:
        if self.batch_size % self.accumulate:
            raise ValueError(
                f"accumulate {self.accumulate} does not divide batches of {self.batch_size}: "
                "use a divisor of batch_size"
            )
        return self

    @property
    def seconds(self) -> int | None:
        """`time` in seconds."""
        return None if self.time is None else _seconds(self.time)

    @property
    def part_size(self) -> int:
        """Photos computed at once."""
        return self.batch_size // self.accumulate
