"""What a run is: one frozen `RunConfig`, which `config_file` reads.

Everything about a setting is at its field: a new setting is one field, here or in a table, and the
line that uses it. Nothing heavy is imported, so a wrong value is reported before JAX or Keras are
loaded.
"""

from __future__ import annotations

from functools import reduce
from operator import getitem
from typing import Any

from pydantic import model_validator

from kvgg_jax.core.settings import read_settings, setting
from kvgg_jax.core.tables.data import DataConfig
from kvgg_jax.core.tables.model import ModelConfig
from kvgg_jax.core.tables.optim import OptimConfig
from kvgg_jax.core.tables.table import Table
from kvgg_jax.core.tables.train import TrainConfig


class RunConfig(Table):
    """Everything that decides a run's result, such as `RunConfig(model={"head": "slim"})`."""

    seed: int = setting(42, "photos", "images", "start", ge=0, lt=2**32)
    """Seed of the split, the initial weights, the order of photos, augmentation and dropout."""
    data: DataConfig = DataConfig()
    model: ModelConfig = ModelConfig()
    optim: OptimConfig = OptimConfig()
    train: TrainConfig = TrainConfig()

    @model_validator(mode="after")
    def _balances_once(self) -> RunConfig:
        if self.data.balance and self.train.class_weight == "balanced":
            raise ValueError(
                "data.balance and train.class_weight = balanced both make up for uneven classes: "
                "use one of them"
            )
        return self

    @model_validator(mode="after")
    def _trains_for_a_time(self) -> RunConfig:
        if self.train.time and self.only_solves_head:
            raise ValueError(
                f"train.time {self.train.time} has no effect: a linear head on a frozen backbone "
                "is solved, in one epoch"
            )
        return self

    @property
    def image_size(self) -> int:
        """Pixels per side. Only for the config of a run, where `data.image_size` is set."""
        assert self.data.image_size is not None, "a run's config is complete"
        return self.data.image_size

    @property
    def solves_head(self) -> bool:
        """Whether the first epoch solves the head instead of training it."""
        return self.model.head == "linear"

    @property
    def only_solves_head(self) -> bool:
        """Whether nothing else is trained: the run has one epoch."""
        return self.solves_head and self.model.freeze == "backbone"

    def to_toml(self) -> str:
        """The complete configuration as TOML; `resolve` of that file gives an equal config."""
        import tomli_w

        return tomli_w.dumps(self.model_dump(exclude_none=True))

    def with_data(self, **changes: Any) -> RunConfig:
        """A copy with fields of `data` replaced."""
        return self.model_copy(update={"data": self.data.model_copy(update=changes)})

    def with_model(self, **changes: Any) -> RunConfig:
        """A copy with fields of `model` replaced."""
        return self.model_copy(update={"model": self.model.model_copy(update=changes)})

    def with_backbone(self, name: str) -> RunConfig:
        """A copy with that network, and the head that is usual on it unless one was set."""
        values = {**self.model.model_dump(exclude_unset=True), "arch": name}
        return self.model_copy(update={"model": ModelConfig.model_validate(values)})

    def with_train(self, **changes: Any) -> RunConfig:
        """A copy with fields of `train` replaced; the new values are validated."""
        values = {**self.train.model_dump(), **changes}
        return self.model_copy(update={"train": TrainConfig.model_validate(values)})


SETTINGS = {found.key: found for found in read_settings(RunConfig)}
"""Every setting by its dotted key, such as `optim.lr`."""


def settings(config: RunConfig) -> dict[str, Any]:
    """The configuration as a flat table: dotted key -> value."""
    values = config.model_dump(mode="json")
    return {key: reduce(getitem, key.split("."), values) for key in SETTINGS}
