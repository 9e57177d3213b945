"""Presets of KerasHub: a folder, or a name of KerasHub's own that it downloads.

KerasHub's own `from_preset` builds whatever classes a preset names. Here `config.json` is read as
plain values for one of KerasHub's backbones, so a preset brings no code.
"""

from __future__ import annotations

import json
import os
import re
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from kvgg_jax.core.errors import ConfigError
from kvgg_jax.core.extras import require
from kvgg_jax.core.keras_gate import keras
from kvgg_jax.core.process import is_own_process
from kvgg_jax.core.tables.architectures import HUB
from kvgg_jax.core.tables.data import MIN_IMAGE_SIZE
from kvgg_jax.core.text import escape_name
from kvgg_jax.models.from_keras.own import as_maps
from kvgg_jax.models.preprocess import PREPROCESSING

CONFIG, CONVERTER, WEIGHTS = "config.json", "image_converter.json", "model.weights.h5"
MAX_BYTES = 2**20  # of a file of settings; ViT's has 1,000
KERAS_OWN = {"name", "trainable", "dtype"}  # of each layer, and no setting of a backbone


@dataclass(frozen=True, slots=True)
class Preset:
    """A backbone `hub:NAME`."""

    name: str
    smallest_size: int = MIN_IMAGE_SIZE

    @property
    def native_size(self) -> int:
        """Of the images that it was trained on."""
        return int(_read_backbone(self.name)[1]["image_shape"][0])

    def make(self, image_size: int) -> keras.Model:
        """KerasHub's class, for images of this size; its tokens as maps.

        Raises ConfigError for a preset that is no backbone of images, or none at all.
        """
        kind, values = _read_backbone(self.name)
        shape = (image_size, image_size, 3)
        try:
            model = getattr(_keras_hub().models, kind)(**{**values, "image_shape": shape})
        except (TypeError, ValueError, OverflowError, ZeroDivisionError) as error:
            raise _fault(self.name, f"cannot be built as {kind}: {error}") from None
        if not isinstance(model.output, keras.KerasTensor) or len(model.inputs) != 1:
            raise _fault(self.name, f"is {kind}, which does not give one output for one image")
        return keras.Model(model.inputs[0], as_maps(model.output))

    def unused(self, model: keras.Model) -> list[str]:
        """None of it."""
        return []

    def prepare(self, image: keras.KerasTensor, *, standardize: bool) -> keras.KerasTensor:
        """As its image converter does; as they are where it has none."""
        if (found := _optional(self.name, CONVERTER)) is None:
            return image
        values = _settings_of(self.name, CONVERTER, found)
        scale, offset = (_colors(self.name, values, key) for key in ("scale", "offset"))
        scales = [255 * factor for factor in scale] if scale else 255.0
        return keras.layers.Rescaling(scales, offset or 0.0, name=PREPROCESSING, dtype="float32")(
            image
        )


def weights_file(name: str) -> Path:
    """The weights of the preset; raises ConfigError where they cannot be had."""
    return _fetch(name, WEIGHTS)


def _fault(name: str, text: str) -> ConfigError:
    return ConfigError(f"`model.arch = {escape_name(name)}`: the preset {text}.")


def _keras_hub() -> Any:
    """KerasHub. It uses TensorFlow where it can, which our own process has no need to load."""
    require("hub", by=f"`model.arch = {HUB}...`")
    unwanted = [one for one in ("tensorflow", "tensorflow_text") if one not in sys.modules]
    unwanted = unwanted if is_own_process() else []
    modules: dict[str, Any] = sys.modules
    modules |= dict.fromkeys(unwanted)  # None: cannot be imported
    try:
        import keras_hub
    finally:
        for one in unwanted:
            del sys.modules[one]
    return keras_hub


@cache
def _read_backbone(name: str) -> tuple[str, dict[str, Any]]:
    """The name of a class in `keras_hub.models`, and what it is called with."""
    content = _read(name, _fetch(name, CONFIG))
    kind, models = str(content.get("class_name")), _keras_hub().models
    found = getattr(models, kind, None) if kind.isidentifier() else None
    if not isinstance(found, type) or not issubclass(found, models.Backbone):
        raise _fault(name, f"has {escape_name(kind)} in {CONFIG}, which is no backbone of KerasHub")
    values = _settings_of(name, CONFIG, content)
    sides = values.get("image_shape")
    if not isinstance(sides, list) or len(sides) != 3 or not all(isinstance(n, int) for n in sides):
        raise _fault(name, f"is {kind}, which has no `image_shape`: it is not for images")
    return kind, values


def _settings_of(name: str, file: str, content: dict[str, Any]) -> dict[str, Any]:
    """Plain values by name. Raises ConfigError where one describes an object."""
    found = content.get("config")
    if not isinstance(found, dict):
        raise _fault(name, f"has no `config` in {file}")
    values = {key: value for key, value in found.items() if key not in KERAS_OWN}
    if '"class_name"' in json.dumps(values):
        raise _fault(name, f"has objects inside its {file}, which are not built")
    return values


def _colors(name: str, values: dict[str, Any], key: str) -> list[float] | None:
    found = values.get(key)
    if found is None:
        return None
    numbers = [found] * 3 if isinstance(found, int | float) else found
    if not isinstance(numbers, list) or not all(isinstance(n, int | float) for n in numbers):
        raise _fault(name, f"has a {key} in {CONVERTER} that is no number for each color")
    return [float(number) for number in numbers]


def _optional(name: str, file: str) -> dict[str, Any] | None:
    try:
        return _read(name, _fetch(name, file))
    except FileNotFoundError:
        return None


def _read(name: str, file: Path) -> dict[str, Any]:
    """A file in JSON; raises ConfigError for any other."""
    try:
        if file.stat().st_size > MAX_BYTES:
            raise ValueError("is too large")
        content = json.loads(file.read_bytes())
    except FileNotFoundError:
        raise
    except (OSError, ValueError, RecursionError) as error:
        raise _fault(name, f"cannot be read: {file.name} {error}") from None
    if not isinstance(content, dict):
        raise _fault(name, f"has something else than settings in {file.name}")
    return content


def _reason(error: BaseException) -> str:
    """The first sentence of what began it."""
    while (before := error.__cause__ or error.__context__) is not None:
        error = before
    sentence = re.split(r"\.?(?:\s*\n|\. )", str(error).strip(), maxsplit=1)[0]
    return sentence or type(error).__name__


def _fetch(name: str, file: str) -> Path:
    """A file of the preset; raises ConfigError where it cannot be had, FileNotFoundError where the
    preset has none of the name that it can do without."""
    preset = name.removeprefix(HUB)
    if os.path.isdir(preset):
        found = Path(preset, file)
        if file != CONVERTER and not found.is_file():
            raise _fault(name, f"has no {file}, as KerasHub's `save_to_preset` writes it")
        return found
    if os.sep in preset and "://" not in preset:
        raise _fault(name, "is a folder that is not there")
    _keras_hub()
    from keras_hub.src.utils.preset_utils import get_file  # KerasHub has no other way

    try:
        return Path(get_file(preset, file))
    except FileNotFoundError:
        if file == CONVERTER:
            raise
        raise _fault(name, f"has no {file}") from None
    except Exception as error:  # of Kaggle's, Hugging Face's and the network's libraries
        reason = _reason(error)
        raise _fault(
            name,
            f"cannot be had: {reason}. Give a name of KerasHub, such as hub:vit_base_patch16_224_"
            "imagenet, or the folder of a preset; the first time, a name needs the internet",
        ) from None
