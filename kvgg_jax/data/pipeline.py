"""Decoded images -> tf.data -> full-size batches, in an order that depends only on
(seed, epoch). There is no iterator state: a resume asks for the epoch and the step it wants."""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from kvgg_jax.core.devices.mesh import local_rows
from kvgg_jax.core.errors import DataError
from kvgg_jax.core.events import Emit, ignore
from kvgg_jax.core.state import Batch
from kvgg_jax.core.tf_gate import tf
from kvgg_jax.data.cache import ALIGNMENT, Images, decodes_again
from kvgg_jax.data.class_balance import draw_evenly
from kvgg_jax.data.on_device import OnDevice, on_device
from kvgg_jax.data.reader import DecodedImages
from kvgg_jax.data.windows import Windows

Gather = Callable[["tf.Tensor", "tf.Tensor"], tuple["tf.Tensor", ...]]
"""Rows of a store and weights -> the tensors of a batch."""


def hold(decoded: DecodedImages, cache: str = "memory", emit: Emit = ignore) -> Store:
    """Images and labels that several pipelines share; `cache` is as for `on_device`."""
    placed, samples = on_device(decoded.images, cache, emit), decoded.samples
    weights = None if samples.weights is None else np.array(samples.weights, np.float32)
    return Store(decoded.images, np.array(samples.labels, np.int32), placed, weights)


class Store(NamedTuple):
    """uint8 images [count, size, size, 3], or features of theirs, and int32 labels [count]."""

    images: Images
    labels: NDArray[np.int32]
    placed: OnDevice | None = None
    """The images once more, where they are trained on."""
    weights: NDArray[np.float32] | None = None
    """[count], how often each counts in training; None: once."""

    def fillers(self, count: int) -> Batch:
        """This process' rows of a batch of zeros with weight 0, to compile with."""
        own = local_rows(count)
        count = own.stop - own.start
        blank = np.zeros((count, *self.images.shape[1:]), self.images.dtype)
        return Batch(blank, np.zeros(count, np.int32), np.zeros(count, np.float32))


class Pipeline:
    """Batches of `batch_size` from the `rows` of a store; `seed=None` keeps their order.

    `balance` draws each class equally often instead of each image once; it needs a seed.
    `weighted` counts images by the weights of the store. `windows` bound what is near at once.
    """

    def __init__(
        self,
        store: Store,
        rows: NDArray[np.int64],
        *,
        batch_size: int,
        seed: int | None = None,
        balance: bool = False,
        weighted: bool = False,
        windows: Windows | None = None,
    ) -> None:
        self.rows, self.batch_size, self.seed = rows, batch_size, seed
        self.balance, self.windows = balance, windows
        self.weights = store.weights if weighted else None
        self._store = store
        self._error: DataError | None = None

    @property
    def count(self) -> int:
        """Images an epoch."""
        return len(self.rows)

    @property
    def steps(self) -> int:
        """Batches an epoch, the padded last one included."""
        return math.ceil(self.count / self.batch_size)

    @property
    def labels(self) -> NDArray[np.int32]:
        """Those of its rows, in their order: int32 [count]."""
        return self._store.labels[self.rows]

    def whole(self) -> tuple[NDArray[Any], NDArray[np.int32]]:
        """All its images, or features, and labels, in the order of its rows."""
        return self._take(self.rows)

    def fillers(self) -> Batch:
        """A batch of zeros, to compile with."""
        return self._store.fillers(self.batch_size)

    def order(self, epoch: int) -> NDArray[np.int64]:
        """The rows of the store in their order in `epoch`: int64 [count]."""
        if self.seed is None:
            return self.rows
        rng = np.random.default_rng([self.seed, epoch])
        if self.balance:
            order = draw_evenly(self.rows, self._store.labels[self.rows], rng)
        else:
            order = rng.permutation(self.rows)
        return order if self.windows is None else self.windows.sort(order, rng)

    def first(self, count: int) -> Batch:
        """At most `count` images of the first batch of the first epoch, on the host."""
        images, labels = self._take(self.order(1)[: min(count, self.batch_size)])
        return Batch(images, labels, np.ones(len(labels), np.float32))

    def epoch(self, epoch: int, *, start: int = 0) -> Iterator[Batch]:
        """The batches of `epoch` from step `start` on, gathered ahead while the device works."""
        order = self.order(epoch)
        shape, own = (self.steps, self.batch_size), local_rows(self.batch_size)
        # Fillers are real images from the epoch's start, with weight 0: batch norm sees photos.
        indices = np.resize(order, shape)[start:, own]
        weight = (np.arange(math.prod(shape)) < self.count).astype(np.float32)
        weight = weight.reshape(shape)[start:, own]
        if self.weights is not None:
            weight *= self.weights[indices]
        if (placed := self._store.placed) is not None:  # nothing to gather ahead
            for rows, counted in zip(indices, weight, strict=True):
                yield Batch(placed[rows], self._store.labels[rows], counted)
            return
        data = tf.data.Dataset.from_tensor_slices((indices, weight))
        # Or TensorFlow writes it anew into a temporary file, which takes longer than an epoch.
        gather = tf.autograph.experimental.do_not_convert(self._gather())
        data = data.map(gather, num_parallel_calls=2, deterministic=True).prefetch(2)
        options = tf.data.Options()
        # Its thread has nothing to tune here, and sometimes delays the end of an epoch by seconds.
        options.autotune.enabled = False
        # To look at the graph, they would copy the images in it: 0.1 s for 1,200 photos.
        options.experimental_optimization.apply_default_optimizations = False
        try:
            with self._announced(order) as reach:
                reach(start)
                batches = data.with_options(options).as_numpy_iterator()
                for step, (images, labels, weights) in enumerate(batches, start + 1):
                    yield Batch(images, labels, weights)
                    reach(step)
        except tf.errors.OpError:  # what tf.data makes of an error of `_take`
            if self._error is None:
                raise
            raise self._error from None

    def _announced(self, order: NDArray[np.int64]) -> AbstractContextManager[Callable[[int], None]]:
        """What to call with each step, before it is read."""
        if self.windows is None or not decodes_again(self._store.images):
            return nullcontext(lambda step: None)
        return self.windows.announced(order, self.batch_size)

    def _gather(self) -> Gather:
        """How a batch is made of its rows: by TensorFlow alone where the images are in memory."""
        if not isinstance(self._store.images, np.ndarray):
            return self._ask
        images, labels = as_tensor(self._store.images), tf.constant(self._store.labels)
        return lambda rows, weight: (tf.gather(images, rows), tf.gather(labels, rows), weight)

    def _ask(self, indices: tf.Tensor, weight: tf.Tensor) -> tuple[tf.Tensor, ...]:
        """Of images in a file or decoded again, which Python reads."""
        # TensorFlow keeps each function that it is given until the process ends, and would keep
        # the images of every fold and trial with it.
        held = weakref.WeakMethod(self._take)

        def take(indices: NDArray[np.int64]) -> tuple[NDArray[Any], NDArray[np.int32]]:
            method = held()
            assert method is not None, "who reads an epoch holds its pipeline"
            return method(indices)

        kind = tf.as_dtype(self._store.images.dtype)
        images, labels = tf.numpy_function(take, [indices], (kind, tf.int32))
        images.set_shape((*indices.shape, *self._store.images.shape[1:]))
        labels.set_shape(indices.shape)
        return images, labels, weight

    def _take(self, indices: NDArray[np.int64]) -> tuple[NDArray[Any], NDArray[np.int32]]:
        try:
            return self._store.images[indices], self._store.labels[indices]
        except DataError as error:
            self._error = error
            raise


def as_tensor(array: NDArray[Any]) -> tf.Tensor:
    """The array itself where TensorFlow can read it where it is, as `in_memory` has it; else a
    copy."""
    if array.ctypes.data % ALIGNMENT == 0 and array.flags.carray:
        return tf.experimental.dlpack.from_dlpack(array.__dlpack__())
    return tf.constant(array)
