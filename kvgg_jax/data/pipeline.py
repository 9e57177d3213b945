"""Pictures in memory -> tf.data -> full-size batches, in an order that depends on nothing but
(seed, epoch). There is no iterator state: a resume asks for the epoch and the step it wants."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from kvgg_jax.data.reader import Pictures
from kvgg_jax.data.tf_gate import tf
from kvgg_jax.state import Batch


def hold(pictures: Pictures) -> Store:
    """Hand decoded pictures to TensorFlow once, to be shared by several pipelines."""
    labels = np.array(pictures.samples.labels, np.int32)
    return Store(tf.constant(pictures.images), tf.constant(labels))


class Store(NamedTuple):
    """uint8 images [count, size, size, 3] and int32 labels [count], as TensorFlow holds them."""

    images: tf.Tensor
    labels: tf.Tensor


class Pipeline:
    """Batches of `batch_size` from the `rows` of a store; `seed=None` keeps their order."""

    def __init__(
        self,
        store: Store,
        rows: NDArray[np.int64],
        *,
        batch_size: int,
        seed: int | None = None,
    ) -> None:
        self.rows, self.batch_size, self.seed = rows, batch_size, seed
        self._store = store

    @property
    def count(self) -> int:
        """Pictures an epoch."""
        return len(self.rows)

    @property
    def steps(self) -> int:
        """Batches an epoch, the padded last one included."""
        return math.ceil(self.count / self.batch_size)

    def order(self, epoch: int) -> NDArray[np.int64]:
        """Which row of the store comes when in `epoch`: int64 [count]."""
        if self.seed is None:
            return self.rows
        return np.random.default_rng([self.seed, epoch]).permutation(self.rows)

    def epoch(self, epoch: int, *, start: int = 0) -> Iterator[Batch]:
        """The batches of `epoch` from step `start` on, gathered ahead while the device works."""
        order = self.order(epoch)
        total = self.steps * self.batch_size
        # Fillers are real pictures from the epoch's start, with weight 0: batch norm sees photos.
        indices = np.resize(order, total)[start * self.batch_size :]
        weight = (np.arange(total) < self.count).astype(np.float32)[start * self.batch_size :]
        data = tf.data.Dataset.from_tensor_slices((indices, weight))
        data = data.batch(self.batch_size, drop_remainder=True)
        data = data.map(self._gather, num_parallel_calls=2, deterministic=True)
        for images, labels, weights in data.prefetch(2).as_numpy_iterator():
            yield Batch(images, labels, weights)

    def _gather(self, indices: tf.Tensor, weight: tf.Tensor) -> tuple[tf.Tensor, ...]:
        images, labels = self._store
        return tf.gather(images, indices), tf.gather(labels, indices), weight
