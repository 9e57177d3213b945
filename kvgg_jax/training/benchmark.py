"""How fast this machine trains a network, and how near that is to what the machine can do."""

from __future__ import annotations

import resource
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from kvgg_jax.core.config import PHOTO_SIZE, RunConfig
from kvgg_jax.core.devices import run_devices
from kvgg_jax.core.events import Emit, Progress, ignore
from kvgg_jax.core.state import empty_batch
from kvgg_jax.data.folder import Samples
from kvgg_jax.data.pipeline import Pipeline, hold
from kvgg_jax.data.reader import DecodedImages
from kvgg_jax.models.build import vgg
from kvgg_jax.models.compile import compile_step
from kvgg_jax.models.cost import describe, total
from kvgg_jax.training.step import make_eval_step, zero_tally
from kvgg_jax.training.step_setup import build_start, build_step

MATMUL = 2048  # side of the square matrices that stand for the machine's peak
CLASSES = 4


@dataclass(frozen=True, slots=True)
class Bench:
    """Medians over the repetitions; FLOP/s count a multiply-add as two."""

    device: str
    image_size: int
    batch_size: int
    matmul_flops_per_second: float
    """Best of the repetitions, in the run's precision: the yardstick."""
    train_step_seconds: float
    train_flops_per_second: float
    forward_seconds: float
    forward_flops_per_second: float
    pipeline_images_per_second: float
    compile_seconds: float
    """Of both steps; near 0 when they come from the cache."""
    peak_mib: float
    """Largest resident memory of the process."""

    @property
    def train_share(self) -> float:
        """Share of the machine's matrix-multiply peak that a training step reaches."""
        return self.train_flops_per_second / self.matmul_flops_per_second

    @property
    def forward_share(self) -> float:
        """Share of the machine's matrix-multiply peak that a forward pass reaches."""
        return self.forward_flops_per_second / self.matmul_flops_per_second


def bench(config: RunConfig, *, repeats: int = 5, emit: Emit = ignore) -> Bench:
    """Time the steps that a run of `config` takes, on blank pictures; nothing is read or written.

    Its augmentation, mixing and moving average are part of the training step; weights are random,
    and none are frozen.
    """
    size, batch_size = config.data.image_size or PHOTO_SIZE, config.train.batch_size
    precision = config.train.precision
    whole = config.model.model_copy(update={"freeze": "none"})
    model = vgg(whole, classes=CLASSES, image_size=size, precision=precision)
    optimizer, state = build_start(config, model, steps=config.optim.warmup_steps + 1)
    batch = empty_batch(batch_size, size)._replace(weight=np.ones(batch_size, np.float32))
    started = time.perf_counter()
    step = build_step(config, model, optimizer, _photos(CLASSES), emit=emit)
    train = compile_step("training", step, state, zero_tally(), batch, donate=(0,), emit=emit)
    weights = state.params, state.model_state
    forward = compile_step("evaluation", make_eval_step(model), *weights, batch, emit=emit)
    compile_seconds = time.perf_counter() - started

    def run_forward() -> None:
        jax.block_until_ready(forward(state.params, state.model_state, batch))

    def run_train() -> None:
        nonlocal state
        state, tally = train(state, zero_tally(), batch)
        jax.block_until_ready(tally)

    forward_seconds = _time(run_forward, repeats, "timing the forward pass", emit)
    train_seconds = _time(run_train, repeats, "timing the training step", emit)
    layers = describe(config.model, classes=CLASSES, image_size=size)
    cost = total(layers, image_size=size, batch_size=batch_size)
    middle = statistics.median
    return Bench(
        device=run_devices()[0].device_kind,
        image_size=size,
        batch_size=batch_size,
        matmul_flops_per_second=_matmul_peak(precision, repeats, emit),
        train_step_seconds=middle(train_seconds),
        train_flops_per_second=cost.training_flops / middle(train_seconds),
        forward_seconds=middle(forward_seconds),
        forward_flops_per_second=cost.forward_flops / middle(forward_seconds),
        pipeline_images_per_second=_pipeline_speed(size, batch_size),
        compile_seconds=compile_seconds,
        peak_mib=_peak_mib(),
    )


def _time(run: Callable[[], None], repeats: int, what: str, emit: Emit) -> list[float]:
    """Seconds of each repetition, after one that is not counted."""
    run()
    seconds = []
    for done in range(repeats):
        emit(Progress(what, done, repeats))
        started = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - started)
    return seconds


def _matmul_peak(precision: str, repeats: int, emit: Emit) -> float:
    matrix = jnp.ones((MATMUL, MATMUL), precision)
    multiply = jax.jit(jnp.matmul)
    seconds = _time(
        lambda: jax.block_until_ready(multiply(matrix, matrix)), repeats, "timing matmul", emit
    )
    return float(2 * MATMUL**3 / min(seconds))


def _photos(count: int) -> Samples:
    """Names alone, of every class alike."""
    numbers = range(count)
    classes = tuple(str(number) for number in range(CLASSES))
    return Samples(Path(), tuple(map(str, numbers)), tuple(n % CLASSES for n in numbers), classes)


def _pipeline_speed(size: int, batch_size: int) -> float:
    """Pictures a second that one epoch of the pipeline delivers, decoded ones."""
    count = max(2 * batch_size, 256)
    store = hold(DecodedImages(_photos(count), np.zeros((count, size, size, 3), np.uint8)))
    pipeline = Pipeline(store, np.arange(count), batch_size=batch_size, seed=0)
    started = time.perf_counter()
    for _ in pipeline.epoch(1):
        pass
    return count / (time.perf_counter() - started)


def _peak_mib() -> float:
    unit = 2**20 if sys.platform == "darwin" else 2**10  # bytes there, KiB on Linux
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
