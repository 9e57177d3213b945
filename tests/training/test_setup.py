"""Each setting reaches the training step that is made of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kvgg_jax.core.config import RunConfig
from kvgg_jax.core.events import ignore
from kvgg_jax.core.keras_gate import keras
from kvgg_jax.core.state import Batch
from kvgg_jax.data.reader import DecodedImages
from kvgg_jax.data.samples import Samples
from kvgg_jax.data.sources.folder import Folder
from kvgg_jax.data.split import Split
from kvgg_jax.training import setup
from kvgg_jax.training.setup import build_network
from support.runs import small_config

pytestmark = pytest.mark.usefixtures("thin_network")

LABELS = (0, 0, 0, 0, 0, 0, 1, 2)
CLASSES = ("blue", "green", "red")
SAMPLES = Samples(Folder(Path("r")), tuple(f"{i}.png" for i in range(8)), LABELS, CLASSES)
IMAGES = np.random.default_rng(0).integers(0, 256, (8, 32, 32, 3), np.uint8)
LOGITS = np.random.default_rng(1).normal(0, 2, (8, 3)).astype(np.float32)


def config(**tables: Any) -> RunConfig:
    return small_config(Path("r"), **tables)


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Any:
    """What `build_step` gives to `make_train_step`."""
    inputs = keras.Input((32, 32, 3))
    model = keras.Model(inputs, keras.layers.Dense(3)(keras.layers.Flatten()(inputs)))

    def look(settings: RunConfig) -> dict[str, Any]:
        given: dict[str, Any] = {}

        def take(model: Any, optimizer: Any, augment: Any, mix: Any, **others: Any) -> Any:
            given.update(augment=augment, mix=mix, **others)

        monkeypatch.setattr(setup, "make_train_step", take)
        optimizer, _ = setup.build_start(settings, model, steps=10)
        setup.build_step(settings, model, optimizer, SAMPLES, emit=ignore)
        return given

    return look


def expected_loss(smoothing: float, weights: tuple[float, float, float]) -> np.ndarray:
    z = LOGITS.astype(np.float64)
    log_p = z - np.log(np.exp(z).sum(axis=1, keepdims=True))
    shares = np.eye(3)[list(LABELS)] * (1 - smoothing) + smoothing / 3
    return -np.array(weights)[list(LABELS)] * (shares * log_p).sum(axis=1)


@pytest.mark.parametrize(
    ("tables", "smoothing", "weights"),
    [
        ({}, 0.0, (1, 1, 1)),
        ({"optim": {"label_smoothing": 0.1}}, 0.1, (1, 1, 1)),
        ({"train": {"class_weight": "balanced"}}, 0.0, (8 / 18, 8 / 3, 8 / 3)),
        (
            {"optim": {"label_smoothing": 0.2}, "train": {"class_weight": "balanced"}},
            0.2,
            (8 / 18, 8 / 3, 8 / 3),
        ),
    ],
    ids=["plain", "smoothed", "weighted", "both"],
)
def test_the_loss_is_smoothed_and_weighted_as_asked(made, tables, smoothing, weights):
    """A class's weight is photos / (classes x its photos), as in scikit-learn."""
    loss = made(config(**tables))["loss"]
    found = loss(jnp.array(LABELS, jnp.int32), LOGITS)
    np.testing.assert_allclose(found, expected_loss(smoothing, weights), rtol=1e-5)


def test_a_batch_is_cut_in_the_parts_asked_for(made):
    assert made(config())["accumulate"] == 1
    assert made(config(train={"accumulate": 4}))["accumulate"] == 4


def test_images_are_changed_as_asked(made):
    """Each by itself and in pairs; not at all without."""
    plain = made(config())
    assert (plain["augment"], plain["mix"]) == (None, None)
    images = IMAGES.astype(np.float32) / 255
    changed = made(config(data={"augment": "light"}))["augment"](images, np.int32(0))
    assert changed.shape == images.shape
    assert np.abs(changed - images).max() > 0.1
    batch = Batch(images, np.array(LABELS, np.int32), np.ones(8, np.float32))
    mixed = made(config(data={"mix": "mixup"}))["mix"](batch, np.int32(0))
    assert mixed.labels.shape == (8, 3)
    assert np.abs(np.asarray(mixed.images) - images).max() > 0.1


def test_crops_are_cut_first_then_augmented_then_erased(made):
    """From images of any size; an erased rectangle is neither resized nor turned."""
    settings = config(data={"augment": "light", "crop": 0.5, "erase": 1.0})
    images = np.random.default_rng(0).random((8, 46, 46, 3), np.float32)
    changed = np.asarray(jax.jit(made(settings)["augment"])(images, np.int32(0)))
    assert changed.shape == (8, 32, 32, 3)
    for gray in (changed == 0.5).all(axis=-1):
        rows, columns = gray.any(axis=1).sum(), gray.any(axis=0).sum()
        assert gray.sum() == rows * columns > 0


def test_training_has_the_larger_photos_and_validation_those_of_the_network(monkeypatch):
    """Each by its path, wherever it is among the larger ones; labels go with them."""
    train, val = SAMPLES.take([6, 2, 7, 1]), SAMPLES.take([0, 3, 4, 5])
    larger = np.stack([np.full((46, 46, 3), int(path[0]), np.uint8) for path in train.paths])
    decoded = DecodedImages(SAMPLES, IMAGES, larger=DecodedImages(train, larger))
    settings = config(data={"crop": 0.5}, train={"batch_size": 4})
    network = build_network(settings, decoded, Split(train, val), None, emit=ignore)
    (batch,) = network.batches.epoch(1)
    assert batch.images.shape == network.batches.fillers().images.shape == (4, 46, 46, 3)
    assert sorted(batch.images[:, 0, 0, 0].tolist()) == [1, 2, 6, 7]
    assert batch.labels.tolist() == [LABELS[place] for place in batch.images[:, 0, 0, 0]]
    monkeypatch.setattr(setup, "compile_step", lambda *_, **__: None)
    (batch,) = network.assemble(network.state, ignore).val.epoch(1)
    np.testing.assert_array_equal(batch.images, IMAGES[[0, 3, 4, 5]])


def test_an_average_is_kept_where_it_is_asked_for():
    """As slots of the optimizer, of which there are none otherwise."""
    inputs = keras.Input((4,))
    model = keras.Model(inputs, keras.layers.Dense(3)(inputs))
    averages = []
    for tables in ({}, {"train": {"ema": 0.9}}):
        _, state = setup.build_start(config(**tables), model, steps=10)
        averages.append([name for name in state.opt_state if name.startswith("average/")])
    assert averages[0] == []
    assert len(averages[1]) == len(model.variables)


@pytest.mark.parametrize(("precision", "dtype"), [("float32", "float32"), ("bfloat16", "bfloat16")])
def test_a_network_computes_in_the_precision_asked_for(precision, dtype):
    """And is shown each class equally often with `balance`."""
    split = Split(SAMPLES, SAMPLES)
    decoded = DecodedImages(SAMPLES, IMAGES)
    settings = config(train={"precision": precision}, data={"balance": precision == "bfloat16"})
    network = build_network(settings, decoded, split, None, emit=ignore)
    assert network.built.model.get_layer("block1_conv1").compute_dtype == dtype
    drawn = np.bincount(np.array(LABELS)[network.batches.order(1)], minlength=3)
    assert (drawn.max() - drawn.min() <= 1) == settings.data.balance
