"""The table `model`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, model_validator

from kvgg_jax.core.settings import setting
from kvgg_jax.core.tables.architectures import ARCHITECTURES, VGG, is_known, title
from kvgg_jax.core.tables.table import Table, as_text

HEADS = ("full", "slim", "gap", "linear")  # or layer sizes
MAX_LAYERS, MAX_UNITS = 8, 65_536  # of a head of layer sizes
Freeze = Literal["none", "1", "2", "3", "4", "backbone"]


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


def _as_freeze(value: object) -> object:
    """A number as text; `blocks` is what older runs have for `backbone`."""
    return "backbone" if value == "blocks" else str(value)


class ModelConfig(Table):
    """The network."""

    arch: Annotated[str, AfterValidator(_known_arch)] = setting(
        "vgg16", "network", "features", choices=ARCHITECTURES
    )
    """Backbone: vgg11, vgg13, vgg16, vgg19, one of Keras Applications, such as efficientnetv2-b0 or
    convnext-tiny, hub: and a preset of KerasHub, or one of your own (docs/backbones.md)."""
    head: Annotated[str, BeforeValidator(as_text), AfterValidator(_known_head)] = setting(
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
    width: float = setting(1.0, "network", "features", used_by={"arch": VGG}, ge=0.125, le=2)
    """Channels of a VGG as a share of those in its paper, such as 0.5. Fewer are faster, and few
    photos need no more (the width multiplier of MobileNet)."""
    batch_norm: bool = setting(False, "network", "features", used_by={"arch": VGG})
    """Batch normalization after each convolution of a VGG."""
    init: Literal["he_uniform", "glorot_uniform"] = setting("he_uniform", "start")
    """Initial random weights: he_uniform, or glorot_uniform (Keras' default; learns more slowly at
    first)."""
    weights: Annotated[str, BeforeValidator(as_text)] | None = setting(
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
    def title(self) -> str:
        """As sentences have it: `"VGG11, width 0.5, head gap"`."""
        width = "" if self.width == 1 else f", width {self.width:g}"
        return f"{title(self.arch)}{width}, head {self.head}"

    @property
    def freezes(self) -> bool:
        """Whether some stages are not trained."""
        return self.freeze != "none"
