"""What a run is: one frozen `RunConfig`, which `config_file` reads.

Everything about a setting is at its field: a new setting is one field here and the line that uses
it. Nothing heavy is imported, so a wrong value is reported before JAX or Keras are loaded.
"""

from __future__ import annotations

from functools import reduce
from operator import getitem
from pathlib import Path
from typing import Annotated, Any, Literal

import tomli_w
from pydantic import AfterValidator, BeforeValidator, model_validator

from kvgg_jax.core.settings import read_settings, setting
from kvgg_jax.core.tables.architectures import ARCHITECTURES, VGG, is_known
from kvgg_jax.core.tables.optim import OptimConfig
from kvgg_jax.core.tables.table import Table

HEADS = ("full", "slim", "gap", "linear")  # or layer sizes
MAX_LAYERS, MAX_UNITS = 8, 65_536  # of a head of layer sizes
Tracked = Literal["tensorboard", "mlflow", "wandb"]
Freeze = Literal["none", "1", "2", "3", "4", "backbone"]
PHOTO_SIZE = 224  # pixels per side unless set, as in the VGG paper
MIN_IMAGE_SIZE = 32  # pixels per side that every network accepts


def _known_head(head: str) -> str:
    sizes = [size.strip().lstrip("0") for size in head.split(",")]
    if head in HEADS:
        return head
    if not all(size.isdecimal() and size.isascii() for size in sizes):
        raise ValueError(
            f"{head!r} is not a head: use full, slim, gap, linear, or layer sizes such as 256,128"
        )
    if len(sizes) > MAX_LAYERS or any(len(size) > 5 or int(size) > MAX_UNITS for size in sizes):
        raise ValueError(f"a head has at most {MAX_LAYERS} layers of at most {MAX_UNITS} units")
    return head


def _known_arch(name: str) -> str:
    if not is_known(name):
        raise ValueError(
            f"{name!r} is not a network: use {', '.join(VGG)}, one of Keras Applications, such as "
            "efficientnetv2-b0, hub:PRESET, or register one of your own (docs/backbones.md)"
        )
    return name


def _large_enough(size: int) -> int:
    if size < MIN_IMAGE_SIZE:
        raise ValueError(f"too small: a network needs at least {MIN_IMAGE_SIZE} pixels per side")
    return size


def _as_text(value: object) -> object:
    """A path, or the one layer size of a head (`head = 1024`), as text."""
    return str(value) if isinstance(value, Path) or type(value) is int else value


def _as_freeze(value: object) -> object:
    """A number as text; `blocks` is what older runs have for `backbone`."""
    return "backbone" if value == "blocks" else str(value)


def _not_empty(folder: str) -> str:
    if not folder:
        raise ValueError("is empty; name the folder of the photos")
    return folder


def _as_names(value: object) -> object:
    """`"a,b"` (a flag) or `["a", "b"]` (TOML) as a tuple; `"none"` is empty."""
    if isinstance(value, str):
        value = [] if value == "none" else value.split(",")
    return tuple(value) if isinstance(value, list) else value


class DataConfig(Table):
    """Where the photos are, how they are split, and how they are augmented."""

    dir: Annotated[str, BeforeValidator(_as_text), AfterValidator(_not_empty)] | None = setting(
        None, "photos", flag="--data", is_folder=True, resume="config"
    )
    """Folder with one sub-folder per class. Without it: `./data`, or the demo set if there is
    none."""
    image_size: Annotated[int, AfterValidator(_large_enough)] | None = setting(
        None, "images", "network", le=4096
    )
    """Pixels per side, 32 to 4096; without it 224 for photos, 48 for the demo set."""
    val_split: float = setting(0.2, "photos", gt=0, lt=1)
    """Share of the photos kept for validation."""
    split: Literal["keras", "stratified", "grouped"] = setting("keras", "photos")
    """How photos are split: keras, stratified or grouped. `keras`: the files that
    `image_dataset_from_directory` would choose; `stratified`: each class has the same share in
    both parts; `grouped`: exact and near duplicates stay on one side, and class shares are kept
    as far as that allows ([data](data.md))."""
    split_seed: int | None = setting(None, "photos", flag=None, ge=0, lt=2**32)
    """Seed of the split alone, without it `seed`: compare other seeds on one split."""
    folds: int | None = setting(None, "photos", flag=None, ge=2)
    """Cross-validation: number of equal parts that take turns at validation; `data.val_split` is
    not used; `kvgg crossval` sets both."""
    fold: int | None = setting(None, "photos", flag=None, ge=1)
    """Which of the folds validates, from 1."""
    augment: Literal["none", "light", "strong", "randaugment"] = setting("none", "images", "step")
    """Random changes to training photos: none, light, strong or randaugment. `light`: flips and
    small shifts; `strong`: rotation, zoom, brightness and contrast too; `randaugment`: two random
    operations per photo (below)."""
    augment_color: bool = setting(False, "images", "step")
    """With `data.augment`, also change hue and saturation. Not for classes that differ by color.
    See below."""
    crop: float | None = setting(None, "images", "step", gt=0, lt=1)
    """Train on random crops of at least this share of the area, such as 0.35. They are cut from
    larger photos and resized to `data.image_size`; validation has whole photos (below)."""
    erase: float = setting(0.0, "images", "step", ge=0, le=1)
    """Share of training photos in which a random rectangle is erased, such as 0.25."""
    mix: Literal["none", "mixup", "cutmix"] = setting("none", "images", "step")
    """Mix photos and labels in pairs: none, mixup or cutmix. `mixup` lays photos over each other,
    `cutmix` puts a rectangle of one into another; labels are mixed in the same shares (below)."""
    mix_alpha: float | None = setting(None, "images", "step", gt=0, le=1)
    """How evenly to mix, above 0 and at most 1. Without it: 0.2 for mixup, 1 for cutmix. Shares are
    drawn from Beta(alpha, alpha); the values are those of the papers."""
    balance: bool = setting(False, "update")
    """Train on equally many photos of each class per epoch, instead of on each photo once. See
    below."""
    skip_bad: bool = setting(False, "photos", "images")
    """Leave out unreadable photos."""
    cache: Literal["auto", "memory", "disk", "none"] = setting("auto", "reading", resume="config")
    """Where decoded photos are kept: auto, memory, disk or none. `disk` is a file in the cache
    folder, `none` decodes each time, `auto` the fastest that fits."""

    @model_validator(mode="after")
    def _is_a_fold(self) -> DataConfig:
        if (self.folds is None) != (self.fold is None) or (self.fold or 0) > (self.folds or 0):
            raise ValueError(f"folds {self.folds}, fold {self.fold}: set both, and fold 1 to folds")
        if self.folds and self.split == "keras":
            raise ValueError("folds need split stratified or grouped")
        return self


class ModelConfig(Table):
    """The network."""

    arch: Annotated[str, AfterValidator(_known_arch)] = setting(
        "vgg16", "network", "features", choices=ARCHITECTURES
    )
    """Backbone: vgg11, vgg13, vgg16, vgg19, one of Keras Applications, such as efficientnetv2-b0 or
    convnext-tiny, hub: and a preset of KerasHub, or one of your own (docs/backbones.md)."""
    head: Annotated[str, BeforeValidator(_as_text), AfterValidator(_known_head)] = setting(
        "slim", "network", choices=HEADS
    )
    """Layers after the backbone: full (4096-4096), slim (1024-512), gap, linear, or as `256,128`.
    `gap` averages each channel; `linear` standardizes the means and maxima of the last stages
    (docs/transfer.md). Without it: linear with `model.freeze = backbone`, else slim for VGG and gap
    for others."""
    pooled_stages: int = setting(2, "network", flag=None, ge=1, le=5)
    """Last stages of the backbone that a `linear` head takes."""
    dropout: float = setting(0.0, "step", ge=0, lt=1)
    """Share of the head's values dropped in training."""
    batch_norm: bool = setting(False, "network", "features", used_by={"arch": VGG})
    """Batch normalization after each convolution of a VGG."""
    init: Literal["he_uniform", "glorot_uniform"] = setting("he_uniform", "start")
    """Initial random weights: he_uniform, or glorot_uniform (Keras' default; learns more slowly at
    first)."""
    weights: Annotated[str, BeforeValidator(_as_text)] | None = setting(
        None,
        "start",
        choices=["imagenet", "preset"],
        no_search="decides how photos are prepared. Search with each kind of weights by itself.",
    )
    """Initial weights instead of random ones: imagenet, a weight file, another run, or preset, as
    KerasHub has them (docs/backbones.md)."""
    preprocessing: Literal["scale", "caffe"] | None = setting(
        None, "images", "features", flag=None, used_by={"arch": VGG}
    )
    """Range of the pixel values for a VGG. `scale`: [0, 1]; `caffe`: as for Keras' ImageNet
    weights; without it, what the weights were trained with."""
    freeze: Annotated[Freeze, BeforeValidator(_as_freeze)] = setting("none", "update")
    """Stages that are not trained: none, the first 1 to 4, or all (backbone)."""

    @model_validator(mode="before")
    @classmethod
    def _choose_head(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        if values.get("freeze") in ("backbone", "blocks"):
            return {"head": "linear", **values}
        return values if values.get("arch", VGG[0]) in VGG else {"head": "gap", **values}

    @model_validator(mode="after")
    def _freezes_something(self) -> ModelConfig:
        if self.freezes and self.weights is None:
            raise ValueError(f"freeze {self.freeze} keeps random weights: set `model.weights` too")
        return self

    @property
    def freezes(self) -> bool:
        """Whether some stages are not trained."""
        return self.freeze != "none"


class TrainConfig(Table):
    """How long to train, with which batches, and when to stop."""

    epochs: int = setting(20, "epochs", resume="flag", ge=1)
    """Passes over the training photos."""
    batch_size: int = setting(32, "network", "step", "features", ge=1)
    """Photos per step."""
    accumulate: int = setting(1, "step", "features", ge=1)
    """Parts to compute each batch in, to save memory. Batch norm sees one part at a time."""
    patience: int = setting(20, "epochs", ge=1)
    """Epochs without a better validation accuracy after which training stops."""
    min_delta: float = setting(0.001, "epochs", ge=0, allow_inf_nan=False)
    """Smallest gain in validation accuracy that counts as better."""
    precision: Literal["float32", "bfloat16"] = setting("float32", "step", "features")
    """Compute in float32 or bfloat16. Weights and logits have 32 bits in both."""
    ema: float | None = setting(None, "step", gt=0, lt=1)
    """Keep a moving average of the weights with this decay, such as 0.999, and evaluate that."""
    class_weight: Literal["none", "balanced"] = setting("none", "update")
    """Weights in the loss: none, or balanced: classes with fewer photos count more. See below."""
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
    def part_size(self) -> int:
        """Photos computed at once."""
        return self.batch_size // self.accumulate


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
