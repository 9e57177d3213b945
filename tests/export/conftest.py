"""A classifier with layers of all kinds, and what it gives for six images."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import pytest

from kvgg_jax import export, load_classifier, vgg
from kvgg_jax.data.decode.image import load
from kvgg_jax.export.exporter import Export
from kvgg_jax.inference.classifier import Classifier
from kvgg_jax.models.build import variable_names
from kvgg_jax.runs.folder import Run
from support.commands import calibrate_at
from support.runs import draw_photos, narrow

SIZE = 64  # at which 2x2 features reach the head, and their order matters


@pytest.fixture(scope="session")
def run(finished: Path) -> Classifier:
    """Of a run with global average pooling, its photos beside it."""
    with narrow():
        return load_classifier(finished)


@pytest.fixture(scope="session")
def drawn(run: Classifier) -> Classifier:
    """A network with all kinds of layers, trained batch norm, in bfloat16."""
    changes = {"head": "16,8", "batch_norm": True, "dropout": 0.5}
    config = run.config.with_data(image_size=SIZE).with_train(precision="bfloat16")
    config = config.model_copy(update={"model": config.model.model_copy(update=changes)})
    with narrow():
        model = vgg(config.model, classes=3, image_size=SIZE, precision="bfloat16", seed=None)
    rng = np.random.default_rng(0)
    for variable in model.variables:
        if len(variable.shape) > 1:
            spread = (2 / np.prod(variable.shape[:-1])) ** 0.5
            variable.assign(rng.normal(0, spread, variable.shape))
        elif variable.dtype == "float32":
            variable.assign(rng.uniform(0.5, 1.5, variable.shape))
    weights = tuple(
        {name: np.asarray(v.value) for name, v in zip(variable_names(part), part, strict=True)}
        for part in (model.trainable_variables, model.non_trainable_variables)
    )
    return replace(run, config=config, weights=weights, state="drawn")


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> np.ndarray:
    """Six images as the network takes them."""
    folder = draw_photos(tmp_path_factory.mktemp("images") / "p", per_class=2, size=SIZE)
    return np.stack([load(file, SIZE) for file in sorted(folder.rglob("*.png"))])


@pytest.fixture(scope="session")
def expected(drawn: Classifier, images: np.ndarray) -> np.ndarray:
    """What the network of this package gives for them, in float32."""
    with narrow():
        model = vgg(drawn.config.model, classes=3, image_size=SIZE, seed=None)
    params, state = drawn.weights
    values = {**params, **state}
    lists = (
        [values[name] for name in variable_names(part)]
        for part in (model.trainable_variables, model.non_trainable_variables)
    )
    logits, _ = jax.jit(lambda x: model.stateless_call(*lists, x))(images / np.float32(255))
    return np.asarray(jax.nn.softmax(logits))


@pytest.fixture(scope="session")
def calibrated(drawn: Classifier, tmp_path_factory: pytest.TempPathFactory) -> Classifier:
    """`drawn` of a run with a temperature of 2.5."""
    run = Run(shutil.copytree(drawn.run.path, tmp_path_factory.mktemp("calibrated") / "run"))
    calibrate_at(2.5, run, drawn.state)
    return replace(drawn, run=run)


@pytest.fixture(scope="session")
def saved_model_export(calibrated: Classifier, tmp_path_factory: pytest.TempPathFactory) -> Export:
    """Of `calibrated`, once: it takes a process of TensorFlow's."""
    with narrow():
        return export("saved-model", calibrated, output=tmp_path_factory.mktemp("saved") / "x")
