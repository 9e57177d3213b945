"""What a run is: one frozen `RunConfig`; `config_file.py` reads it.

All that is known of a setting stands at its field, and nowhere else: adding one is one field here
and one use. Nothing heavy is imported, so a wrong value is answered before JAX or Keras start.
"""

from __future__ import annotations

from functools import reduce
from operator import getitem
from pathlib import Path
from typing import Annotated, Any, Literal

import tomli_w
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, model_validator

from kvgg_jax.core.settings import read_settings, setting

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
    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, use_attribute_docstrings=True
    )


class DataConfig(_Frozen):
    """Where the photos are, how they are dealt and how they are shown to the network."""

    dir: Annotated[str, BeforeValidator(_as_text)] | None = setting(
        None, flag="--data", is_folder=True, affects={"photos"}, resume="config"
    )
    """Folder with one sub-folder per class; without it `./data`, else the demo set."""
    image_size: Annotated[int, AfterValidator(_large_enough)] | None = setting(
        None, affects={"images", "network"}, le=4096
    )
    """Pixels a side, 32 to 4096; without it 224 for photos, 48 for the demo set."""
    val_split: float = setting(0.2, affects={"photos"}, gt=0, lt=1)
    """Share of the photos kept for validation."""
    split: Literal["keras", "stratified", "grouped"] = setting("keras", affects={"photos"})
    """How photos are split: keras, stratified or grouped. `keras`: the files that
    `image_dataset_from_directory` would choose; `stratified`: class shares kept; `grouped`: class
    shares kept as far as it goes, and exact and near duplicates on one side ([data](data.md))."""
    split_seed: int | None = setting(None, flag=None, affects={"photos"}, ge=0, lt=2**32)
    """Seed of the split alone, without it `seed`: compare other seeds on one split."""
    folds: int | None = setting(None, flag=None, affects={"photos"}, ge=2)
    """Cross-validation: so many equal parts take turns at validation, and `data.val_split` is not
    used; `kvgg crossval` sets both."""
    fold: int | None = setting(None, flag=None, affects={"photos"}, ge=1)
    """Which of the folds validates, from 1."""
    augment: Literal["none", "light", "strong", "randaugment"] = setting(
        "none", affects={"images", "step"}
    )
    """Random changes to training photos: none, light, strong or randaugment. `light`: flips and
    small shifts; `strong`: rotation, zoom, brightness and contrast too; `randaugment`: two random
    operations per photo (below)."""
    augment_color: bool = setting(False, affects={"images", "step"})
    """With `data.augment`, change hue and saturation too; not where classes differ by color.
    See below."""
    mix: Literal["none", "mixup", "cutmix"] = setting("none", affects={"images", "step"})
    """Mix photos and labels in pairs: none, mixup or cutmix. `mixup` lays photos over each other,
    `cutmix` puts a rectangle of one into another; labels are mixed in the same shares (below)."""
    mix_alpha: float | None = setting(None, affects={"images", "step"}, gt=0, le=1)
    """How evenly to mix, above 0 to 1; without it 0.2 for mixup and 1 for cutmix. Shares are drawn
    from Beta(alpha, alpha); the values are those of the papers."""
    balance: bool = setting(False, affects={"update"})
    """Draw each class equally often for training, not each photo once an epoch. See below."""
    skip_bad: bool = setting(False, affects={"photos", "images"})
    """Go on without unreadable images."""
    cache: Literal["auto", "memory", "disk", "none"] = setting(
        "auto", affects={"reading"}, resume="config"
    )
    """Where decoded photos are kept: auto, memory, disk or none. `disk` is a file in the cache
    folder, `none` decodes each time, `auto` takes what there is room for."""

    @model_validator(mode="after")
    def _is_a_fold(self) -> DataConfig:
        if (self.folds is None) != (self.fold is None) or (self.fold or 0) > (self.folds or 0):
            raise ValueError(f"folds {self.folds}, fold {self.fold}: set both, and fold 1 to folds")
        if self.folds and self.split == "keras":
            raise ValueError("folds are dealt with split stratified or grouped")
        return self


class ModelConfig(_Frozen):
    """The network."""

    arch: Literal["vgg11", "vgg13", "vgg16", "vgg19"] = setting(
        "vgg16", affects={"network", "features"}
    )
    """Convolutional layers: vgg11, vgg13, vgg16 or vgg19 (Simonyan & Zisserman 2015, A-E)."""
    head: Annotated[str, AfterValidator(_known_head)] = setting(
        "slim", choices=HEADS, affects={"network"}
    )
    """Dense layers: full (4096-4096), slim (1024-512), gap (average pooling), or as `256,128`."""
    dropout: float = setting(0.0, affects={"step"}, ge=0, lt=1)
    """Share of the head's values dropped in training."""
    batch_norm: bool = setting(False, affects={"network", "features"})
    """Batch normalization after each convolution."""
    init: Literal["he_uniform", "glorot_uniform"] = setting("he_uniform", affects={"start"})
    """Random first weights: he_uniform, or glorot_uniform (Keras' default; starts more slowly)."""
    weights: Annotated[str, BeforeValidator(_as_text)] | None = setting(
        None,
        choices=["imagenet"],
        affects={"start"},
        no_search="decides how photos are prepared. Search with each kind of weights by itself.",
    )
    """First weights instead of random ones: imagenet, a weight file, or another run."""
    preprocessing: Literal["scale", "caffe"] | None = setting(
        None, flag=None, affects={"images", "features"}
    )
    """What the network is shown. `scale`: values in [0, 1]; `caffe`: as Keras' ImageNet weights
    want them; without it, what the weights were trained with."""
    freeze: Annotated[str, BeforeValidator(str), AfterValidator(_known_freeze)] = setting(
        "none", choices=FREEZE, affects={"update"}
    )
    """Blocks that keep their weights: none, the first 1 to 4, or all five (blocks)."""

    @model_validator(mode="after")
    def _freezes_something(self) -> ModelConfig:
        if self.frozen_blocks and self.weights is None:
            raise ValueError(
                f"freeze {self.freeze} would keep random weights: say with `model.weights` "
                "what to keep"
            )
        return self

    @property
    def frozen_blocks(self) -> int:
        """How many of the blocks, from the first on, are not trained."""
        return FREEZE.index(self.freeze)


class OptimConfig(_Frozen):
    """Adam, and how its learning rate changes."""

    lr: float = setting(1e-4, affects={"update"}, gt=0, allow_inf_nan=False)
    """Highest learning rate of Adam."""
    schedule: Literal["exponential", "cosine", "constant"] = setting(
        "exponential", affects={"update"}
    )
    """How the learning rate falls: exponential, cosine or constant. `exponential` by the three
    `decay` keys, `cosine` to nearly 0 at the run's last step, `constant` not at all (below)."""
    warmup_steps: int = setting(0, affects={"update"}, ge=0)
    """Steps in which the rate rises linearly to `optim.lr`, before the schedule begins."""
    decay_steps: int = setting(20, flag=None, affects={"update"}, ge=1)
    """Steps between decays."""
    decay_rate: float = setting(0.95, flag=None, affects={"update"}, gt=0, le=1)
    """Factor of each decay."""
    staircase: bool = setting(True, flag=None, affects={"update"})
    """Hold the rate between decays."""
    label_smoothing: float = setting(0.0, affects={"update"}, ge=0, lt=1)
    """Share of each label given to all classes alike, such as 0.1. It is in the training loss
    alone; validation and `evaluate` measure the plain one."""
    weight_decay: float = setting(0.0, affects={"update"}, ge=0, allow_inf_nan=False)
    """Weight decay of the kernels by AdamW, such as 0.0005. This share of the kernels, times the
    rate, is taken away at each step; biases and batch norm's weights are left alone."""


class TrainConfig(_Frozen):
    """How long, how much at once, and when to stop."""

    epochs: int = setting(20, affects={"epochs"}, resume="flag", ge=1)
    """Passes over the training photos."""
    batch_size: int = setting(32, affects={"network", "step", "features"}, ge=1)
    """Photos per step."""
    accumulate: int = setting(1, affects={"step", "features"}, ge=1)
    """Compute a batch in so many parts, to save memory. Batch norm sees one part at a time."""
    patience: int = setting(20, affects={"epochs"}, ge=1)
    """Stop after so many epochs without a better validation accuracy."""
    min_delta: float = setting(0.001, affects={"epochs"}, ge=0, allow_inf_nan=False)
    """Smallest gain in validation accuracy that counts as better."""
    precision: Literal["float32", "bfloat16"] = setting("float32", affects={"step", "features"})
    """Computing in float32 or bfloat16. Weights and logits have 32 bits in both."""
    ema: float | None = setting(None, affects={"step"}, gt=0, lt=1)
    """Decay of a moving average of the weights, such as 0.999, which is what is evaluated."""
    class_weight: Literal["none", "balanced"] = setting("none", affects={"update"})
    """Weights in the loss: none, or balanced: classes of few photos count for more. See below."""
    save_every_steps: int | None = setting(None, affects={"saving"}, resume="config", ge=1)
    """Save within an epoch too, each time so many of its steps are done: a crash loses no more."""
    track: Annotated[tuple[Tracked, ...], BeforeValidator(_as_names)] = setting(
        (), affects={"saving"}, resume="flag"
    )
    """Show the epochs elsewhere too: tensorboard, mlflow, wandb (several with commas), or none.
    See [tracking.md](tracking.md)."""

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

    seed: int = setting(42, affects={"photos", "images", "start"}, ge=0, lt=2**32)
    """Seed of the split, the first weights, the order, augmentation and dropout."""
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


SETTINGS = {found.key: found for found in read_settings(RunConfig)}
"""Every setting by its dotted key, such as `optim.lr`."""


def settings(config: RunConfig) -> dict[str, Any]:
    """The configuration as a flat table: dotted key -> value."""
    values = config.model_dump(mode="json")
    return {key: reduce(getitem, key.split("."), values) for key in SETTINGS}
