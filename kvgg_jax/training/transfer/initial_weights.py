"""Weights that a run starts from: where they are, which of them fit, and what is reported."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kvgg_jax.core.config import RunConfig
from kvgg_jax.core.config_file import with_values
from kvgg_jax.core.errors import ConfigError, RunError, WeightsError, WeightsMismatch
from kvgg_jax.core.events import Emit, Note, Warned
from kvgg_jax.core.keras_gate import keras
from kvgg_jax.core.tables.architectures import HUB, VGG, title, with_whole_path
from kvgg_jax.core.tables.model import ModelConfig
from kvgg_jax.core.text import escape_name
from kvgg_jax.inference.classifier import load_classifier
from kvgg_jax.models.backbone import Backbone
from kvgg_jax.models.cost import describe
from kvgg_jax.models.from_keras.presets import weights_file
from kvgg_jax.models.preprocess import PREPROCESSING
from kvgg_jax.models.registry import choose_backbone, is_frozen
from kvgg_jax.models.weights.hdf5 import rank
from kvgg_jax.models.weights.imagenet import KERAS_HEAD, KERAS_MD5, fetch, is_of_keras
from kvgg_jax.models.weights.sandbox import Found, Shapes, read_weights
from kvgg_jax.runs import catalog
from kvgg_jax.runs.folder import Run

NAMED = 3  # layers in one message
OF_BACKBONE = ("arch", "width", "batch_norm")  # settings of `model` that decide its weights
PRESET = "preset"  # as `model.weights`: those of the preset that is the backbone


@dataclass(frozen=True, slots=True)
class InitialWeights:
    """Weights that a run starts from, by the names of its variables."""

    arrays: dict[str, NDArray[np.float32]]

    @property
    def digest(self) -> str:
        """SHA-256 over names and values."""
        digest = hashlib.sha256()
        for name in sorted(self.arrays):
            digest.update(f"{name}\0".encode())
            digest.update(np.ascontiguousarray(self.arrays[name]).data)
        return digest.hexdigest()

    def assign(self, model: keras.Model) -> None:
        """Give them to the network that they were matched with; its other weights stay."""
        for variable in model.variables:
            if variable.path in self.arrays:
                variable.assign(self.arrays[variable.path])


def complete_model(config: RunConfig, out: Path) -> RunConfig:
    """Fill in what `model.weights` decides: its whole path, preprocessing, and a run's image size
    and backbone.

    Raises WeightsError when there is nothing at that path, ConfigError for a network that Keras has
    no ImageNet weights of, and for settings that have no effect with the backbone of a run.
    """
    if (whole := with_whole_path(config.model.arch)) != config.model.arch:
        config = config.with_model(arch=whole)
    model = config.model
    if model.weights is None:
        return config
    if model.weights in ("imagenet", PRESET):
        return _check_named(config)
    if os.path.isfile(model.weights):
        file = Path(model.weights).absolute()
        if model.arch not in VGG:
            return config.with_model(weights=str(file))
        # Keras' own file, or one that `export` made of a network with that preprocessing
        caffe = is_of_keras(file) or PREPROCESSING in read_weights(file, {}).shapes
        how = model.preprocessing or ("caffe" if caffe else "scale")
        return config.with_model(weights=str(file), preprocessing=how)
    try:
        run = catalog.find(model.weights, out=out)
    except RunError as error:
        where = escape_name(model.weights)
        if any(os.path.isdir(path) for path in (model.weights, out / model.weights)):
            raise WeightsError(f"`model.weights = {where}`: {error}") from None
        raise WeightsError(
            f"`model.weights = {where}`: there is no such file, and no run {where} or "
            f"{escape_name(out / model.weights)}. Give a weight file, a run, or imagenet."
        ) from None
    theirs = run.config()
    changed = config.with_data(image_size=config.data.image_size or theirs.data.image_size)
    changed = _with_backbone_of(run, changed).with_model(weights=str(run.path.absolute()))
    if changed.model.arch not in VGG:
        return changed
    return changed.with_model(
        preprocessing=model.preprocessing or theirs.model.preprocessing or "scale"
    )


def _with_backbone_of(run: Run, config: RunConfig) -> RunConfig:
    """What was set stays, and all of another backbone."""
    theirs, own = run.config().model, config.model.model_fields_set
    if "arch" in own and config.model.arch != theirs.arch:
        return config
    same = {f"model.{name}": getattr(theirs, name) for name in OF_BACKBONE if name not in own}
    return with_values(config, same, where=f"the backbone of {escape_name(run.path)}")


def _check_named(config: RunConfig) -> RunConfig:
    model, is_preset = config.model, config.model.arch.startswith(HUB)
    if (model.weights == PRESET) is not is_preset:
        use = PRESET if is_preset else "imagenet"
        raise ConfigError(f"{title(model.arch)} has no weights {model.weights}: use {use}.")
    if model.arch in VGG and model.arch not in KERAS_MD5:
        known = " and ".join(title(arch) for arch in KERAS_MD5)
        raise ConfigError(
            f"Keras has ImageNet weights of {known}, not of {title(model.arch)}: "
            f"use `model.arch = {next(iter(KERAS_MD5))}`."
        )
    if model.width != 1:
        raise ConfigError(
            f"Keras' ImageNet weights of {title(model.arch)} are for all its channels: leave out "
            f"`model.width = {model.width}`."
        )
    needed = choose_backbone(model).pretrained_preprocessing
    return config.with_model(preprocessing=model.preprocessing or needed)


def load_initial_weights(
    config: RunConfig, classes: tuple[str, ...], emit: Emit
) -> InitialWeights | None:
    """What of `model.weights` fits the network; None where a run starts from random weights.

    Reports what was loaded and what stays random. Raises WeightsError for a source that cannot be
    read or has no layer that fits, and for a frozen layer that it does not have.
    """
    model = config.model
    if model.weights is None:
        return None
    layers = describe(model, classes=len(classes), image_size=config.image_size)
    shapes = {name: shape for one in layers for name, shape in (one.weights | one.moving).items()}
    names = _by_layer(shapes)
    ours = {layer: [shapes[name] for name in of] for layer, of in names.items()}
    found, their_classes = _read(model, ours, emit)
    match = Match(ours, found.shapes, choose_backbone(model))
    _check(match, model)
    fault = match.head_fault
    if fault is None and their_classes not in (None, classes):
        fault = "its classes are others"
    _report(match, fault, model, emit)
    taken = [layer for layer in found.arrays if match.is_backbone(layer) or fault is None]
    pairs = [zip(names[layer], found.arrays[layer], strict=True) for layer in taken]
    return InitialWeights(dict(pair for layer in pairs for pair in layer))


def _by_layer(names: Iterable[str]) -> dict[str, list[str]]:
    """Layer -> the names of its variables in Keras' order; dropout's seeds are no weights."""
    layers: dict[str, list[str]] = {}
    for name in names:
        if not name.startswith("seed_generator"):
            layers.setdefault(name.rpartition("/")[0], []).append(name)
    return {of: sorted(layers[of], key=lambda name: rank(name.rpartition("/")[2])) for of in layers}


def _read(model: ModelConfig, ours: Shapes, emit: Emit) -> tuple[Found, tuple[str, ...] | None]:
    """What the source has, and its classes where it knows them."""
    where = str(model.weights)
    if not os.path.isdir(where):
        file = _file(model, emit)
        return read_weights(file, ours, by_order=model.arch not in VGG), None
    classifier = load_classifier(where, emit=emit)
    params, state = classifier.weights
    arrays = {name: np.asarray(array) for name, array in {**params, **state}.items()}
    layers = {layer: [arrays[name] for name in of] for layer, of in _by_layer(arrays).items()}
    shapes = {layer: [array.shape for array in of] for layer, of in layers.items()}
    fitting = {layer: layers[layer] for layer in layers if shapes[layer] == ours.get(layer)}
    return Found(shapes, fitting), classifier.classes


def _file(model: ModelConfig, emit: Emit) -> Path:
    if model.weights == "imagenet":
        return fetch(model.arch, emit)
    return weights_file(model.arch) if model.weights == PRESET else Path(str(model.weights))


class Match:
    """The layers of a network with that backbone beside those of a source of weights."""

    def __init__(self, ours: Shapes, theirs: Shapes, backbone: Backbone) -> None:
        self._ours, self._theirs, self._stage_of = ours, theirs, backbone.stage_of
        self.backbone = [layer for layer in ours if self.is_backbone(layer)]
        self.missing = [layer for layer in self.backbone if theirs.get(layer) != ours[layer]]
        """Those of the backbone that the source does not have in the same shapes."""

    def is_backbone(self, layer: str) -> bool:
        """Whether it is before the head, by its name."""
        return self._stage_of(layer) is not None

    @property
    def is_like_keras(self) -> bool:
        """Whether the source has the layers of a file of Keras Applications, with their head or
        without one."""
        others = {name for name in self._theirs if not self.is_backbone(name)}
        return not self.missing and others in (set(), KERAS_HEAD)

    @property
    def head_fault(self) -> str | None:
        """Why the head does not fit, as part of a sentence: all of it is loaded, or nothing."""
        mine = self._ours.keys() - self.backbone
        others = {name for name in self._theirs if not self.is_backbone(name)} - {PREPROCESSING}
        if self.missing:
            return "its backbone does too, in part"
        if not others:
            return "they have none"
        if others != mine:
            return f"there it is {', '.join(map(escape_name, sorted(others)[:NAMED]))}"
        return next((self._differs(name) for name in sorted(mine) if self._differs(name)), None)

    def _differs(self, layer: str) -> str | None:
        """How a layer of the source is not as the network needs it."""
        ours, theirs = self._ours[layer], self._theirs.get(layer)
        if theirs is None:
            return f"{layer} is not there"
        return f"{layer} is {_sizes(theirs)} there, {_sizes(ours)} here" if ours != theirs else None

    def listed(self) -> str:
        """The first of the missing layers, and how many more."""
        more = len(self.missing) - NAMED
        named = [str(self._differs(layer)) for layer in self.missing[:NAMED]]
        return "; ".join([*named, f"and {more} more"] if more > 0 else named)


def _sizes(shapes: list[tuple[int, ...]]) -> str:
    return " and ".join("x".join(map(str, shape)) for shape in shapes)


def _check(match: Match, model: ModelConfig) -> None:
    """Raises WeightsMismatch when no layer fits, or one that is to be frozen does not."""
    source, missing = escape_name(model.weights), match.missing
    if len(missing) == len(match.backbone):
        fault = f"none of the {len(missing)} layers of {title(model.arch)}'s blocks"
    elif any(is_frozen(model, layer) for layer in missing):
        fault = f"not all that `model.freeze = {model.freeze}` would keep"
    else:
        return
    raise WeightsMismatch(f"{source} has {fault}: {match.listed()}.{_advice(model)}")


def _advice(model: ModelConfig) -> str:
    """The settings to add where the weights are of a run with another network; else nothing."""
    where = Path(str(model.weights))
    if not where.is_dir():
        return ""
    theirs = Run(where).config().model.model_dump(include={*OF_BACKBONE})
    flags = [
        f"`model.{name} = {str(value).lower() if isinstance(value, bool) else value}`"
        for name, value in theirs.items()
        if value != getattr(model, name)
    ]
    return f" For that run's network add {' '.join(flags)}." if flags else ""


def _report(match: Match, head_fault: str | None, model: ModelConfig, emit: Emit) -> None:
    """What was loaded; a Warned where a part of the backbone stays random."""
    count, missing = len(match.backbone), len(match.missing)
    which = f"{count - missing} of the {count}" if missing else f"the {count}"
    head = f"; the head starts at random: {head_fault}" if head_fault else ", and the head"
    what = f"{which} layers of {title(model.arch)}'s blocks{head}"
    text = f"Weights from {escape_name(model.weights)}: {what}"
    emit(Warned(f"{text}. At random: {match.listed()}.") if missing else Note(text))
    if model.arch not in VGG:  # it prepares images by itself
        return
    if os.path.isdir(str(model.weights)):  # a run has it in its settings
        return
    caffe = model.preprocessing == "caffe"
    how = "as Keras prepares them for its ImageNet weights" if caffe else "in [0, 1]"
    text = f"The network gets images {how}"
    if not caffe and model.arch in KERAS_MD5 and match.is_like_keras:
        advice = "If these are Keras' ImageNet weights, add `model.preprocessing = caffe`."
        emit(Warned(f"{text}. {advice}"))
    else:
        emit(Note(f"{text} (`model.preprocessing = caffe` or scale)"))
