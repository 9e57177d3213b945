"""Weights to begin with: where they are, what of them fits, and what is said about it."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kvgg_jax.core.config import ModelConfig, RunConfig
from kvgg_jax.core.errors import ConfigError, RunError, WeightsError, WeightsMismatch
from kvgg_jax.core.events import Emit, Note, Warned
from kvgg_jax.core.keras_gate import keras
from kvgg_jax.core.text import escape_name
from kvgg_jax.inference.classifier import load_classifier
from kvgg_jax.models.functional import weight_shapes
from kvgg_jax.models.registry import BACKBONES, PREPROCESSING, frozen_stages
from kvgg_jax.models.weights.hdf5 import rank
from kvgg_jax.models.weights.imagenet import KERAS_MD5, fetch, is_of_keras
from kvgg_jax.models.weights.sandbox import Found, Shapes, read_weights
from kvgg_jax.runs import catalog
from kvgg_jax.runs.folder import Run

NAMED = 3  # layers in one message


@dataclass(frozen=True, slots=True)
class InitialWeights:
    """Weights that a run begins with, by the names of its variables."""

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
        """Give them to a network that they were matched with; the other weights stay."""
        for variable in model.variables:
            if variable.path in self.arrays:
                variable.assign(self.arrays[variable.path])


def complete_config(config: RunConfig, out: Path) -> RunConfig:
    """Fill in what `model.weights` decides: its whole path, preprocessing, and a run's image size.

    Raises WeightsError when there is nothing at that path, ConfigError for a network that Keras has
    no ImageNet weights of.
    """
    model = config.model
    if model.weights is None:
        return config
    if model.weights == "imagenet":
        if model.arch not in KERAS_MD5:
            known = " and ".join(arch.upper() for arch in KERAS_MD5)
            raise ConfigError(
                f"Keras has ImageNet weights of {known}, not of {model.arch.upper()}: "
                f"use `model.arch = {next(iter(KERAS_MD5))}`."
            )
        needed = BACKBONES[model.arch].pretrained_preprocessing
        return config.with_model(preprocessing=model.preprocessing or needed)
    if (run := _run_at(model.weights, out)) is not None:
        theirs = run.config()
        return config.with_model(
            weights=str(run.path.absolute()),
            preprocessing=model.preprocessing or theirs.model.preprocessing or "scale",
        ).with_data(image_size=config.data.image_size or theirs.data.image_size)
    file = Path(model.weights).absolute()
    how = model.preprocessing or ("caffe" if _wants_caffe(file) else "scale")
    return config.with_model(weights=str(file), preprocessing=how)


def _wants_caffe(file: Path) -> bool:
    """Keras Applications' own file, or one that `export` made of a network that had begun so."""
    return is_of_keras(file) or PREPROCESSING in read_weights(file, {}).shapes


def _run_at(where: str, out: Path) -> Run | None:
    if os.path.isfile(where):
        return None
    try:
        return catalog.find(where, out=out)
    except RunError:
        raise WeightsError(
            f"`model.weights = {escape_name(where)}`: there is no such file, and no run "
            f"{escape_name(where)} or "
            f"{escape_name(out / where)}. Give a weight file, a run, or imagenet."
        ) from None


def load_initial_weights(
    config: RunConfig, classes: tuple[str, ...], emit: Emit
) -> InitialWeights | None:
    """What of `model.weights` fits the network; None where a run begins at random.

    Says what has come and what begins at random. Raises WeightsError for a source that cannot be
    read or has no layer that fits, and for a frozen layer that it does not have.
    """
    model = config.model
    if model.weights is None:
        return None
    parts = weight_shapes(model, classes=len(classes), image_size=config.image_size)
    shapes = {name: tuple(one.shape) for part in parts for name, one in part.items()}
    names = _by_layer(shapes)
    ours = {layer: [shapes[name] for name in of] for layer, of in names.items()}
    found, their_classes = _read(model, ours, emit)
    match = Match(ours, found.shapes, BACKBONES[model.arch].stages)
    _check(match, model)
    anew = match.head_fault
    if anew is None and their_classes not in (None, classes):
        anew = "its classes are others"
    _tell(match, anew, model, emit)
    taken = [layer for layer in found.arrays if match.is_backbone(layer) or anew is None]
    pairs = [zip(names[layer], found.arrays[layer], strict=True) for layer in taken]
    return InitialWeights(dict(pair for layer in pairs for pair in layer))


def _by_layer(names: Iterable[str]) -> dict[str, list[str]]:
    """Layer -> the names of its variables in Keras' order; dropout's seeds are no weights."""
    layers: dict[str, list[str]] = {}
    for name in sorted(names, key=lambda name: rank(name.rpartition("/")[2])):
        if not name.startswith("seed_generator"):
            layers.setdefault(name.rpartition("/")[0], []).append(name)
    return dict(sorted(layers.items()))


def _read(model: ModelConfig, ours: Shapes, emit: Emit) -> tuple[Found, tuple[str, ...] | None]:
    """What the source has, and its classes where it knows them."""
    assert model.weights is not None
    if model.weights == "imagenet":
        return read_weights(fetch(model.arch, emit), ours), None
    if not Path(model.weights).is_dir():
        return read_weights(Path(model.weights), ours), None
    classifier = load_classifier(model.weights, emit=emit)
    params, state = classifier.weights
    layers = {
        layer: [np.asarray({**params, **state}[name]) for name in names]
        for layer, names in _by_layer([*params, *state]).items()
    }
    shapes = {layer: [array.shape for array in arrays] for layer, arrays in layers.items()}
    fitting = {layer: layers[layer] for layer in layers if shapes[layer] == ours.get(layer)}
    return Found(shapes, fitting), classifier.classes


@dataclass(frozen=True, slots=True)
class Match:
    """The layers of a network beside those of a source of weights."""

    ours: Shapes
    theirs: Shapes
    stages: tuple[str, ...]
    """What the names of the network's layers before the head begin with."""

    def is_backbone(self, layer: str) -> bool:
        """Whether it is before the head, by its name."""
        return layer.startswith(self.stages)

    @property
    def backbone(self) -> list[str]:
        """The network's layers before the head."""
        return [layer for layer in self.ours if self.is_backbone(layer)]

    @property
    def missing(self) -> list[str]:
        """Those of them that the source does not have in the same shapes."""
        return [layer for layer in self.backbone if self.theirs.get(layer) != self.ours[layer]]

    @property
    def head_fault(self) -> str | None:
        """Why the head does not fit, as part of a sentence: it comes whole or not at all."""
        mine = {layer for layer in self.ours if not self.is_backbone(layer)}
        others = {layer for layer in self.theirs if not self.is_backbone(layer)} - {PREPROCESSING}
        if self.missing:
            return "its backbone does too, in part"
        if not others:
            return "there is none"
        if others != mine:
            return f"there it is {', '.join(map(escape_name, sorted(others)[:NAMED]))}"
        return next((self.differs(layer) for layer in mine if self.differs(layer)), None)

    def differs(self, layer: str) -> str | None:
        """How a layer of the source is not as the network needs it."""
        ours, theirs = self.ours[layer], self.theirs.get(layer)
        if theirs is None:
            return f"{layer} is not there"
        return f"{layer} is {_sizes(theirs)} there, {_sizes(ours)} here" if ours != theirs else None

    def listed(self) -> str:
        """The first of the missing layers, and how many more."""
        more = len(self.missing) - NAMED
        named = [str(self.differs(layer)) for layer in self.missing[:NAMED]]
        return "; ".join([*named, f"and {more} more"] if more > 0 else named)


def _sizes(shapes: list[tuple[int, ...]]) -> str:
    return " and ".join("x".join(map(str, shape)) for shape in shapes)


def _check(match: Match, model: ModelConfig) -> None:
    """Raises WeightsMismatch when no layer fits, or one that is to be frozen does not."""
    source, missing = escape_name(model.weights), match.missing
    if len(missing) == len(match.backbone):
        raise WeightsMismatch(
            f"{source} has none of the {len(missing)} layers of {model.arch.upper()}'s blocks: "
            f"{match.listed()}.{_advice(model)}"
        )
    if any(layer.startswith(frozen_stages(model)) for layer in missing):
        raise WeightsMismatch(
            f"{source} has not all that `model.freeze = {model.freeze}` would keep: "
            f"{match.listed()}.{_advice(model)}"
        )


def _advice(model: ModelConfig) -> str:
    """What to add, where the weights are of a run whose network is another; else nothing."""
    where = Path(str(model.weights))
    if not where.is_dir():
        return ""
    theirs, flags = Run(where).config().model, []
    if theirs.arch != model.arch:
        flags.append(f"`model.arch = {theirs.arch}`")
    if theirs.batch_norm != model.batch_norm:
        flags.append(f"`model.batch_norm = {str(theirs.batch_norm).lower()}`")
    return f" For that run's network add {' '.join(flags)}." if flags else ""


def _tell(match: Match, anew: str | None, model: ModelConfig, emit: Emit) -> None:
    """What has come and what has not; that a backbone came in part is a warning."""
    count, missing = len(match.backbone), len(match.missing)
    which = f"{count - missing} of the {count}" if missing else f"the {count}"
    head = f"; the head starts anew: {anew}" if anew else ", and the head"
    what = f"{which} layers of {model.arch.upper()}'s blocks{head}"
    text = f"Weights from {escape_name(model.weights)}: {what}"
    emit(Warned(f"{text}. At random: {match.listed()}.") if missing else Note(text))
    if model.weights == "imagenet" or not Path(str(model.weights)).is_dir():  # a run knows it
        caffe = model.preprocessing == "caffe"
        how = "as Keras prepares them for its ImageNet weights" if caffe else "in [0, 1]"
        emit(Note(f"Pictures are shown to it {how} (`model.preprocessing = caffe` or scale)"))
