"""The names of the backbones: those of this package, of Keras Applications, and your own."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING

from kvgg_jax.core.errors import UsageError

if TYPE_CHECKING:
    from kvgg_jax.core.keras_gate import keras

BuildBackbone = Callable[[int], "keras.Model"]
"""Pixels per side -> a functional model: images in [0, 1], [batch, side, side, 3], to maps."""
HUB = "hub:"  # begins the name of a preset of KerasHub, or of its folder
GROUP = "kvgg_jax.backbones"  # of entry points
OWN_NAME = re.compile(r"[a-z][a-z0-9_.-]*", re.IGNORECASE)

VGG = ("vgg11", "vgg13", "vgg16", "vgg19")

APPLICATIONS = {
    "convnext-tiny": "convnext.ConvNeXtTiny",
    "convnext-small": "convnext.ConvNeXtSmall",
    "convnext-base": "convnext.ConvNeXtBase",
    "convnext-large": "convnext.ConvNeXtLarge",
    "convnext-xlarge": "convnext.ConvNeXtXLarge",
    **{f"densenet{depth}": f"densenet.DenseNet{depth}" for depth in (121, 169, 201)},
    **{f"efficientnet-b{n}": f"efficientnet.EfficientNetB{n}" for n in range(8)},
    **{f"efficientnetv2-b{n}": f"efficientnet_v2.EfficientNetV2B{n}" for n in range(4)},
    **{f"efficientnetv2-{size.lower()}": f"efficientnet_v2.EfficientNetV2{size}" for size in "SML"},
    "inceptionresnetv2": "inception_resnet_v2.InceptionResNetV2",
    "inceptionv3": "inception_v3.InceptionV3",
    "mobilenet": "mobilenet.MobileNet",
    "mobilenetv2": "mobilenet_v2.MobileNetV2",
    "mobilenetv3-small": "mobilenet_v3.MobileNetV3Small",
    "mobilenetv3-large": "mobilenet_v3.MobileNetV3Large",
    "nasnet-mobile": "nasnet.NASNetMobile",
    "nasnet-large": "nasnet.NASNetLarge",
    **{f"resnet{depth}": f"resnet.ResNet{depth}" for depth in (50, 101, 152)},
    **{f"resnet{depth}v2": f"resnet_v2.ResNet{depth}V2" for depth in (50, 101, 152)},
    "xception": "xception.Xception",
}
"""Name -> module and function below `keras.applications`."""

ARCHITECTURES = (*VGG, *APPLICATIONS)
_registered: dict[str, BuildBackbone] = {}


def register_backbone(build: BuildBackbone, name: str = "") -> str:
    """Let `--arch` and `model.arch` name a network of your own; return that name.

    `build(image_size)` returns a functional `keras.Model` without a head: float32 images
    [batch, image_size, image_size, 3], RGB in [0, 1], to maps [batch, height, width, channels],
    tokens [batch, count, channels] or features [batch, channels]. Its weights are drawn by its
    initializers. The name, that of the function unless given, holds for this process, and a run
    keeps it: another process has to register the function too, or find it as an entry point
    `kvgg_jax.backbones` of an installed package. Raises UsageError for a name that cannot be used.
    """
    name = name or str(getattr(build, "__name__", ""))
    if not OWN_NAME.fullmatch(name) or name in ARCHITECTURES:
        taken = "is taken" if name in ARCHITECTURES else "is none"
        raise UsageError(
            f"{name!r} {taken}: name a backbone of your own by letters, digits, '.', '_' and '-', "
            "as in register_backbone(build, 'small')."
        )
    _registered[name] = build
    return name


def own_backbone(name: str) -> BuildBackbone | None:
    """The function that was registered, or that an installed package declares; else None."""
    if name in _registered:
        return _registered[name]
    found = entry_points(group=GROUP, name=name)
    return next(iter(found)).load() if found else None


def is_known(name: str) -> bool:
    """Whether there is a backbone of that name. Loads nothing."""
    if name in ARCHITECTURES or name in _registered or name.startswith(HUB):
        return True
    return bool(entry_points(group=GROUP, name=name))


def title(name: str) -> str:
    """As sentences have it: VGG16, mobilenetv3-small."""
    return name.upper() if name in VGG else name


def short(name: str) -> str:
    """For names of folders and models: of a preset the last part of its path."""
    return re.sub(r"[^A-Za-z0-9_.-]", "-", name.removeprefix(HUB).rstrip("/").rpartition("/")[2])


def with_whole_path(name: str) -> str:
    """The name with the whole path of a preset's folder, so that it is found from elsewhere."""
    folder = name.removeprefix(HUB)
    is_folder = name.startswith(HUB) and os.path.isdir(folder)
    return f"{HUB}{Path(folder).absolute()}" if is_folder else name
