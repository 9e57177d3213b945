"""The table `optim`."""

from __future__ import annotations

from typing import Literal

from pydantic import model_validator

from kvgg_jax.core.settings import setting
from kvgg_jax.core.tables.table import Table

Optimizer = Literal[
    "adam", "adamw", "sgd", "rmsprop", "lion", "nadam",
    "adamax", "adagrad", "adadelta", "adafactor", "lamb",
]  # fmt: skip
MOMENTUM: tuple[Optimizer, ...] = ("sgd", "rmsprop")


class OptimConfig(Table):
    """The optimizer, how its learning rate changes, and the loss that it minimizes."""

    optimizer: Optimizer = setting("adam", "update", "step")
    """Optimizer: adam, adamw, sgd, rmsprop, lion, nadam, adamax, adagrad, adadelta, adafactor or
    lamb. They are those of Keras, with its defaults (below)."""
    lr: float = setting(1e-4, "update", gt=0, allow_inf_nan=False)
    """Highest learning rate. The default suits Adam; others need another one (below)."""
    momentum: float = setting(0.0, "update", "step", used_by={"optimizer": MOMENTUM}, ge=0, lt=1)
    """Momentum of sgd or rmsprop, such as 0.9."""
    nesterov: bool = setting(False, "update", flag=None, used_by={"optimizer": ("sgd",)})
    """Nesterov's momentum instead of the plain one, for sgd."""
    clip_norm: float | None = setting(None, "update", "step", gt=0, allow_inf_nan=False)
    """Largest norm of the gradient of all weights together; a larger one is scaled down to it."""
    schedule: Literal["exponential", "cosine", "one-cycle", "constant"] = setting(
        "exponential", "update"
    )
    """How the learning rate changes: exponential, cosine, one-cycle or constant. `exponential`
    falls by the three `decay` keys, `cosine` to nearly 0 at the run's last step, `one-cycle` rises
    before it falls so, `constant` stays (below)."""
    warmup_steps: int = setting(
        0, "update", used_by={"schedule": ("exponential", "cosine", "constant")}, ge=0
    )
    """Steps in which the rate rises linearly to `optim.lr`, before the schedule begins."""
    decay_steps: int = setting(20, "update", flag=None, ge=1)
    """Steps between decays."""
    decay_rate: float = setting(0.95, "update", flag=None, gt=0, le=1)
    """Factor of each decay."""
    staircase: bool = setting(True, "update", flag=None)
    """Keep the rate constant between decays."""
    loss: Literal["cross-entropy", "focal"] = setting("cross-entropy", "update")
    """Loss in training: cross-entropy or focal. `focal` counts a photo less, the more certain the
    network is of its class. Validation and `evaluate` measure the cross-entropy (below)."""
    focal_gamma: float = setting(
        2.0, "update", flag=None, used_by={"loss": ("focal",)}, ge=0, allow_inf_nan=False
    )
    """Exponent of the focal loss: a photo whose class has probability p counts
    `(1 - p) ** focal_gamma` times."""
    label_smoothing: float = setting(
        0.0, "update", used_by={"loss": ("cross-entropy",)}, ge=0, lt=1
    )
    """Share of each label given to all classes alike, such as 0.1. Only the training loss has it;
    validation and `evaluate` measure the plain loss."""
    weight_decay: float = setting(0.0, "update", "step", ge=0, allow_inf_nan=False)
    """Weight decay of the kernels as in AdamW, such as 0.0005. Each step subtracts this share of
    the kernels, times the rate; biases and batch norm's weights do not decay."""

    stage_decay: float = setting(1.0, "update", gt=0, le=1)
    """Share of the rate at which each stage of the backbone learns of that of the stage above, such
    as 0.3; the head learns at the whole rate."""
    unfreeze_every: int | None = setting(None, "update", ge=1)
    """Epochs after which one more stage begins to learn, from the top; without it, all learn at
    once."""

    @model_validator(mode="after")
    def _is_complete(self) -> OptimConfig:
        if self.optimizer == "adamw" and not self.weight_decay:
            raise ValueError("optimizer adamw decays weights: set `optim.weight_decay` too")
        if self.nesterov and not self.momentum:
            raise ValueError("nesterov is a kind of momentum: set `optim.momentum` too")
        return self
