"""The table `data`."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, model_validator

from kvgg_jax.core.settings import setting
from kvgg_jax.core.tables.table import Table, as_text

PHOTO_SIZE = 224  # pixels per side unless set, as in the VGG paper
MIN_IMAGE_SIZE = 32  # pixels per side that every network accepts

Resize = Literal["squash", "crop", "pad"]


def _large_enough(size: int) -> int:
    if size < MIN_IMAGE_SIZE:
        raise ValueError(f"too small: a network needs at least {MIN_IMAGE_SIZE} pixels per side")
    return size


def _a_pattern(pattern: str) -> str:
    try:
        re.compile(pattern)
    except re.error as error:
        raise ValueError(f"is not a regular expression: {error}") from None
    return pattern


def _not_empty(folder: str) -> str:
    if not folder:
        raise ValueError("is empty; name the folder of the photos")
    return folder


Place = Annotated[str, BeforeValidator(as_text), AfterValidator(_not_empty)]


class DataConfig(Table):
    """Where the photos are, how they are split, and how they are augmented."""

    dir: Place | None = setting(None, "photos", flag="--data", is_folder=True, resume="config")
    """Folder with one sub-folder per class, a list of photos, or what `kvgg data pack` wrote. A
    list is a CSV, JSON lines or Parquet file with the columns path and label. It may be an address
    ([elsewhere](how-to/elsewhere.md)). Without it: `./data`, or the demo set if there is none
    ([data](data.md))."""
    val: Place | None = setting(None, "photos", is_folder=True, resume="config")
    """Photos for validation, a folder or a list. All of `data.dir` is then for training."""
    test: Place | None = setting(None, "photos", is_folder=True, resume="config")
    """Photos that only `evaluate --split test` uses, a folder or a list."""
    root: Place | None = setting(
        None, "photos", flag="--data-root", is_folder=True, resume="config"
    )
    """Folder where the paths of a list start. Without it: the folder of the list."""
    image_size: Annotated[int, AfterValidator(_large_enough)] | None = setting(
        None, "images", "network", le=4096
    )
    """Pixels per side, 32 to 4096; without it 224 for photos, 48 for the demo set."""
    resize: Resize = setting("squash", "images")
    """How a photo becomes a square: squash, crop or pad. `squash`: the whole photo, its sides
    scaled apart; `crop`: the largest square in its middle; `pad`: the whole photo, with gray
    beside it ([data](data.md#photos-that-are-not-square))."""
    val_split: float = setting(0.2, "photos", gt=0, lt=1)
    """Share of the photos kept for validation."""
    test_split: float | None = setting(None, "photos", gt=0, lt=1)
    """Share of the photos kept for `evaluate --split test`, which training never reads. They are
    split off as `data.split` says, so fewer are for training ([data](data.md#a-third-part))."""
    split: Literal["keras", "stratified", "grouped"] = setting("keras", "photos")
    """How photos are split: keras, stratified or grouped. `keras`: the files that
    `image_dataset_from_directory` would choose; `stratified`: each class has the same share in
    all parts; `grouped`: exact and near duplicates, and the groups of a list or of
    `data.group_by`, stay on one side, and class shares are kept as far as that allows
    ([data](data.md))."""
    group_by: Annotated[str, AfterValidator(_a_pattern)] | None = setting(None, "photos")
    """Regular expression that finds the group of a photo, such as a lot or a patient, in its path.
    The group is what its first parentheses match, or all that it matches. Needs `data.split =
    grouped`, or folds ([data](data.md))."""
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
    shuffle_shards: int | None = setting(None, "update", ge=1)
    """How many shards of packed photos are shuffled together, such as 16. The order of an epoch
    then needs each shard only once, for photos that this machine does not hold
    ([shards](how-to/shards.md#more-photos-than-the-disk-holds)). Without it: all."""
    skip_bad: bool = setting(False, "photos", "images")
    """Leave out unreadable photos."""
    cache: Literal["auto", "memory", "disk", "none", "device"] = setting(
        "auto", "reading", resume="config"
    )
    """Where decoded photos are kept: auto, memory, disk, none or device. `disk` is a file in the
    cache folder, `none` decodes each time, `device` is a GPU's memory, `auto` the fastest that
    fits."""

    def at(self, place: object) -> DataConfig:
        """The same photos in another folder or list; None: where they are."""
        return self if place is None else self.model_copy(update={"dir": str(place)})

    @model_validator(mode="after")
    def _is_a_fold(self) -> DataConfig:
        if (self.folds is None) != (self.fold is None) or (self.fold or 0) > (self.folds or 0):
            raise ValueError(f"folds {self.folds}, fold {self.fold}: set both, and fold 1 to folds")
        if self.folds and self.split == "keras":
            raise ValueError("folds need split stratified or grouped")
        if self.group_by and self.split != "grouped" and not self.folds:
            raise ValueError("group_by needs split grouped: another one divides groups")
        return self

    @model_validator(mode="after")
    def _leaves_photos_to_train(self) -> DataConfig:
        if self.test_split and self.test:
            raise ValueError("test_split and test both give a test part: use one of them")
        if self.test_split and not self.folds and self.val_split + self.test_split >= 1:
            raise ValueError(
                f"val_split {self.val_split} and test_split {self.test_split} leave no photos for "
                "training: together they must be less than 1"
            )
        return self
