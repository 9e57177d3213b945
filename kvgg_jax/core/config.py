"""What a run is: one frozen `RunConfig`; `resolve.py` reads it.

The default of every setting stands here and nowhere else. Nothing heavy is imported, so a wrong
value is answered before JAX, Keras or TensorFlow start.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import tomli_w
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    model_validator,
)

HEADS = ("full", "slim", "gap")  # by name; or layer sizes
Tracked = Literal["tensorboard", "mlflow", "wandb"]
FREEZE = ("none", "1", "2", "3", "4", "blocks")  # by how many blocks that is
PHOTO_SIZE = 224  # pixels a side where none is set, as in the VGG paper
MIN_IMAGE_SIZE = 32  # pixels a side, of the least demanding network


def _known_head(head: str) -> str:
    sizes = head.split(",")
    if head in HEADS or all(size.strip().isdecimal() and int(size) > 0 for size in sizes):
        return head
    raise ValueError(f"{head!r} is not a head: use full, slim, gap, or layer sizes such as 256,128")


def _known_freeze(freeze: str) -> str:
    if freeze not in FREEZE:
        raise ValueError(f"{freeze!r}: use none, blocks (all of them), or how many: 1 to 4")
    return freeze


def _large_enough(size: int) -> int:
    if size < MIN_IMAGE_SIZE:
        raise ValueError(f"too small: a network needs at least {MIN_IMAGE_SIZE} pixels a side")
    return size


def _as_text(value: object) -> object:
    return str(value) if isinstance(value, Path) else value


def _as_names(value: object) -> object:
    """`"a,b"` and `["a", "b"]`, as a flag and as TOML have it, as a tuple; `"none"` is empty."""
    if isinstance(value, str):
        value = [] if value == "none" else value.split(",")
    return tuple(value) if isinstance(value, list) else value


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class DataConfig(_Frozen):
    """Where the photos are, how they are dealt and how they are shown to the network."""

    dir: Annotated[str, BeforeValidator(_as_text)] | None = None
    """Folder with one sub-folder a class; None: `./data`, else the demo set."""
    image_size: Annotated[int, AfterValidator(_large_enough), Field(le=4096)] | None = None
    """Pixels a side; None: 224 for photos, 48 for the demo set."""
    val_split: float = Field(0.2, gt=0, lt=1)
    split: Literal["keras", "stratified", "grouped"] = "keras"
    split_seed: int | None = Field(None, ge=0, lt=2**32)
    """Seed of the split alone; None: `seed`. It lets other seeds be compared on one split."""
    folds: int | None = Field(None, ge=2)
    """Cross-validation: so many equal parts take turns at validation; `val_split` has no say."""
    fold: int | None = Field(None, ge=1)
    """Whose turn it is, from 1; `crossval` sets it."""
    augment: Literal["none", "light", "strong", "randaugment"] = "none"
    augment_color: bool = False
    """Let `augment` change hue and saturation too; not where classes differ by color."""
    mix: Literal["none", "mixup", "cutmix"] = "none"
    mix_alpha: float | None = Field(None, gt=0, le=1)
    """Of the Beta distribution of the shares; None: 0.2 for mixup and 1 for cutmix."""
    balance: bool = False
    """Draw each class equally often for training, instead of each photo once an epoch."""
    skip_bad: bool = False
    cache: Literal["auto", "memory", "disk", "none"] = "auto"
    """Where decoded photos are kept; auto: in memory, else on disk, as they fit."""

    @model_validator(mode="after")
    def _is_a_fold(self) -> DataConfig:
        if (self.folds is None) != (self.fold is None) or (self.fold or 0) > (self.folds or 0):
            raise ValueError(f"folds {self.folds}, fold {self.fold}: set both, and fold 1 to folds")
        if self.folds and self.split == "keras":
            raise ValueError("folds are dealt with split stratified or grouped")
        return self


class ModelConfig(_Frozen):
    """The network."""

    arch: Literal["vgg11", "vgg13", "vgg16", "vgg19"] = "vgg16"
    head: Annotated[str, AfterValidator(_known_head)] = "slim"
    dropout: float = Field(0.0, ge=0, lt=1)
    batch_norm: bool = False
    init: Literal["he_uniform", "glorot_uniform"] = "he_uniform"
    weights: Annotated[str, BeforeValidator(_as_text)] | None = None
    """What to begin with: `imagenet`, a file of weights, or another run; None: random weights."""
    preprocessing: Literal["scale", "caffe"] | None = None
    """What the first layer makes of [0, 1]: nothing, or what Keras' ImageNet weights want; None:
    as the weights were trained."""
    freeze: Annotated[str, BeforeValidator(str), AfterValidator(_known_freeze)] = "none"
    """Blocks that keep their weights: the first few, or all of them."""

    @model_validator(mode="after")
    def _freezes_something(self) -> ModelConfig:
        if self.frozen_blocks and self.weights is None:
            raise ValueError(
                f"freeze {self.freeze} would keep random weights: say with --weights what to keep"
            )
        return self

    @property
    def frozen_blocks(self) -> int:
        """How many of the blocks, from the first on, are not trained."""
        return FREEZE.index(self.freeze)


class OptimConfig(_Frozen):
    """Adam, and how its learning rate changes."""

    lr: float = Field(1e-4, gt=0, allow_inf_nan=False)
    schedule: Literal["exponential", "cosine", "constant"] = "exponential"
    """How the rate falls; the three `decay` keys are of the exponential one alone."""
    warmup_steps: int = Field(0, ge=0)
    """Steps in which the rate rises to `lr` in a line, before the schedule begins."""
    decay_steps: int = Field(20, ge=1)
    decay_rate: float = Field(0.95, gt=0, le=1)
    staircase: bool = True
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    """Share of each label that goes to all classes alike; in the training loss alone."""
    weight_decay: float = Field(0.0, ge=0, allow_inf_nan=False)
    """Share of the kernels taken away, times the rate, at each step (AdamW); 0 is plain Adam."""


class TrainConfig(_Frozen):
    """How long, how much at once, and when to stop."""

    epochs: int = Field(20, ge=1)
    batch_size: int = Field(32, ge=1)
    accumulate: int = Field(1, ge=1)
    """Equal parts in which a batch is computed, one after the other, to save memory."""
    patience: int = Field(20, ge=1)
    min_delta: float = Field(0.001, ge=0, allow_inf_nan=False)
    precision: Literal["float32", "bfloat16"] = "float32"
    ema: float | None = Field(None, gt=0, lt=1)
    """Decay of the moving average of the weights that is judged and kept; None: the last ones."""
    class_weight: Literal["none", "balanced"] = "none"
    """What a photo's loss counts in training; balanced: the less, the more its class has."""
    save_every_steps: int | None = Field(None, ge=1)
    """Save amid an epoch too, each time so many of its steps are done; None: once an epoch."""
    track: Annotated[tuple[Tracked, ...], BeforeValidator(_as_names)] = ()
    """Where else the epochs are shown, besides the run folder."""

    @model_validator(mode="after")
    def _divides(self) -> TrainConfig:
        if self.batch_size % self.accumulate:
            raise ValueError(
                f"accumulate {self.accumulate} does not cut batches of {self.batch_size} into "
                "equal parts: use a divisor of batch_size"
            )
        return self

    @property
    def part_size(self) -> int:
        """Photos computed at once."""
        return self.batch_size // self.accumulate


class RunConfig(_Frozen):
    """All that decides a run's result. `RunConfig(model={"head": "slim"})` fills in the rest."""

    seed: int = Field(42, ge=0, lt=2**32)
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

    @property
    def image_size(self) -> int:
        """Pixels a side, of a config whose `data.image_size` is settled, as that of each run is."""
        assert self.data.image_size is not None, "a run's config is complete"
        return self.data.image_size

    def to_toml(self) -> str:
        """The complete configuration as TOML; `resolve` of that file gives an equal config."""
        return tomli_w.dumps(self.model_dump(exclude_none=True))

    def with_data(self, **changes: Any) -> RunConfig:
        """A copy with fields of `data` replaced."""
        return self.model_copy(update={"data": self.data.model_copy(update=changes)})

    def with_model(self, **changes: Any) -> RunConfig:
        """A copy with fields of `model` replaced."""
        return self.model_copy(update={"model": self.model.model_copy(update=changes)})

    def with_train(self, **changes: Any) -> RunConfig:
        """A copy with fields of `train` replaced; the new values are validated."""
        values = {**self.train.model_dump(), **changes}
        return self.model_copy(update={"train": TrainConfig.model_validate(values)})


def known_keys(model: type[BaseModel] = RunConfig, prefix: str = "") -> list[str]:
    """Every dotted key of the configuration, such as `optim.lr`."""
    keys: list[str] = []
    for name, field in model.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            keys += known_keys(inner, f"{prefix}{name}.")
        else:
            keys.append(prefix + name)
    return keys


def settings(config: RunConfig) -> dict[str, Any]:
    """The configuration as a flat table: dotted key -> value."""
    values = config.model_dump(mode="json")
    flat: dict[str, Any] = {}
    for key in known_keys():
        table, _, leaf = key.rpartition(".")
        flat[key] = (values[table] if table else values)[leaf]
    return flat
