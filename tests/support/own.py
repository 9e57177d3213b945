"""A network and a tf.data source as a user of `fit` has them, with all that a resume must keep."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from kvgg_jax import fit
from kvgg_jax.core.keras_gate import keras
from kvgg_jax.core.tf_gate import tf
from kvgg_jax.training.own.fit import FitResult

STEPS = 3  # an epoch: 22 images in batches of 8, the last one padded
RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (22, 8, 8, 3), np.uint8)
LABELS = (IMAGES[..., 0].mean((1, 2)) > IMAGES[..., 1].mean((1, 2))).astype(np.int64)
DATA = tf.data.Dataset.from_tensor_slices((IMAGES, LABELS))
VAL = DATA.take(10).batch(8)


def train(epoch: int) -> tf.data.Dataset:
    """Shuffled and changed anew in each epoch, by its number alone."""
    shuffled = DATA.shuffle(22, seed=epoch).enumerate()
    return shuffled.map(
        lambda n, pair: (tf.image.stateless_random_flip_left_right(pair[0], (n, epoch)), pair[1])
    ).batch(8)


def network(seed: int = 0) -> keras.Model:
    """Layers without names, with dropout and batch norm."""
    drawn = keras.initializers.GlorotUniform(seed)
    return keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            keras.layers.Conv2D(4, 3, kernel_initializer=drawn),
            keras.layers.BatchNormalization(momentum=0.5),
            keras.layers.ReLU(),
            keras.layers.Flatten(),
            keras.layers.Dropout(0.3, seed=seed),
            keras.layers.Dense(2, kernel_initializer=drawn),
        ]
    )


def train_own(folder: Path, model: keras.Model | None = None, **options: Any) -> FitResult:
    """Four epochs of `model`, by Adam with a falling rate."""
    rate = keras.optimizers.schedules.ExponentialDecay(0.01, 5, 0.9)
    given = {"epochs": 4, "optimizer": keras.optimizers.Adam(rate), **options}
    return fit(model or network(), train, VAL, folder=folder, **given)
