"""How fast this machine trains a network, and how near that is to what the machine can do."""

from __future__ import annotations

import resource
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from kvgg_jax.core.config import RunConfig
from kvgg_jax.core.devices.check import check_jax
from kvgg_jax.core.devices.mesh import place_rows, run_devices
from kvgg_jax.core.events import Emit, Progress, ignore
from kvgg_jax.data.reader import DecodedImages
from kvgg_jax.data.samples import Samples
from kvgg_jax.data.sources.folder import Folder
from kvgg_jax.data.split import Split
from kvgg_jax.models.cost import describe, total
from kvgg_jax.models.kernels.native import library
from kvgg_jax.models.registry import choose_size
from kvgg_jax.training.augment.regions import side_to_crop
from kvgg_jax.training.loop import Batches
from kvgg_jax.training.setup import Network, build_network, devices_of
from kvgg_jax.training.step import zero_tally

MATMUL = 2048  # side of the square matrices that measure the machine's peak
CLASSES = 4


@dataclass(frozen=True, slots=True)
class Bench:
    """Medians over the repetitions; FLOP/s count a multiply-add as two."""

    device: str
    image_size: int
    batch_size: int
    matmul_flops_per_second: float
    """Best of the repetitions, in the run's precision."""
    train_step_seconds: float
    train_flops_per_second: float
    forward_seconds: float
    forward_flops_per_second: float
    pipeline_images_per_second: float
    compile_seconds: float
    """Of both steps; near 0 when they come from the cache."""
    peak_mib: float
    """Largest resident memory of the process."""
    convolutions: str
    """Which 3x3 convolutions ran."""

    @property
    def train_share(self) -> float:
        """Share of the machine's matrix-multiply peak that a training step reaches."""
        return self.train_flops_per_second / self.matmul_flops_per_second

    @property
    def forward_share(self) -> float:
        """Share of the machine's matrix-multiply peak that a forward pass reaches."""
        return self.forward_flops_per_second / self.matmul_flops_per_second


def bench(config: RunConfig, *, repeats: int = 5, emit: Emit = ignore) -> Bench:
    """Time the steps that a run of `config` takes, on blank images; nothing is read or written.

    Its augmentation, mixing and moving average are part of the training step; weights are random,
    and none are frozen.
    """
    check_jax()
    with devices_of(config):
        return _bench(config, repeats=repeats, emit=emit)


def _bench(config: RunConfig, *, repeats: int, emit: Emit) -> Bench:
    size, batch_size = choose_size(config), config.train.batch_size
    whole = config.model.model_copy(update={"freeze": "none"})
    config = config.model_copy(update={"model": whole}).with_data(shuffle_shards=None)
    network = _network(config.with_train(epochs=config.optim.warmup_steps + 1), size)
    started = time.perf_counter()
    inputs, state = network.assemble(network.state, emit), network.state
    compile_seconds = time.perf_counter() - started
    batch, part = (place_rows(next(data.epoch(1))) for data in (inputs.train, inputs.val))

    def run_forward() -> object:
        return inputs.eval_step(state.params, state.model_state, part)

    def run_train() -> object:
        nonlocal state
        state, tally = inputs.train_step(state, zero_tally(), batch)
        return tally

    part_seconds = statistics.median(_time(run_forward, repeats, "the forward pass", emit))
    forward_seconds = config.train.accumulate * part_seconds
    train_seconds = statistics.median(_time(run_train, repeats, "the training step", emit))
    layers = describe(config.model, classes=CLASSES, image_size=size)
    cost = total(layers, image_size=size, batch_size=batch_size)
    matrix, multiply = jnp.ones((MATMUL, MATMUL), config.train.precision), jax.jit(jnp.matmul)
    matmul_seconds = min(_time(lambda: multiply(matrix, matrix), repeats, "matmul", emit))
    return Bench(
        device=run_devices()[0].device_kind,
        image_size=size,
        batch_size=batch_size,
        matmul_flops_per_second=2 * MATMUL**3 / matmul_seconds,
        train_step_seconds=train_seconds,
        train_flops_per_second=cost.training_flops / train_seconds,
        forward_seconds=forward_seconds,
        forward_flops_per_second=cost.forward_flops / forward_seconds,
        pipeline_images_per_second=_pipeline_speed(inputs.train),
        compile_seconds=compile_seconds,
        peak_mib=_peak_mib(),
        convolutions=library.describe(),
    )


def _time(run: Callable[[], object], repeats: int, what: str, emit: Emit) -> list[float]:
    """Seconds of each repetition until its arrays are there, after one that is not counted."""
    jax.block_until_ready(run())
    seconds = []
    for done in range(repeats):
        emit(Progress(f"timing {what}", done, repeats))
        started = time.perf_counter()
        jax.block_until_ready(run())
        seconds.append(time.perf_counter() - started)
    return seconds


def _network(config: RunConfig, size: int) -> Network:
    """A network, and blank photos of `CLASSES` classes for some batches of it."""
    count = max(2 * config.train.batch_size, 256)
    names, labels = tuple(map(str, range(count))), tuple(n % CLASSES for n in range(count))
    samples = Samples(Folder(Path()), names, labels, names[:CLASSES])
    decoded = _blank(samples, size)
    if crop := config.data.crop:
        decoded = replace(decoded, larger=_blank(samples, side_to_crop(size, crop)))
    return build_network(config, decoded, Split(samples, samples), None, emit=ignore)


def _blank(samples: Samples, side: int) -> DecodedImages:
    return DecodedImages(samples, np.zeros((len(samples), side, side, 3), np.uint8))


def _pipeline_speed(train: Batches) -> float:
    """Images per second that an epoch of the pipeline delivers."""
    started = time.perf_counter()
    count = sum(len(batch.labels) for batch in train.epoch(1))
    return count / (time.perf_counter() - started)


def _peak_mib() -> float:
    unit = 2**20 if sys.platform == "darwin" else 2**10  # bytes there, KiB on Linux
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
