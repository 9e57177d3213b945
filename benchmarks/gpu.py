"""One card in five minutes: our step and forward pass beside Keras' own, and PyTorch.

python benchmarks/gpu.py
python benchmarks/gpu.py --arch vgg11 --batch-size 4 --image-size 32 --precision float32  # a CPU

Needs Keras, JAX, NumPy and pydantic alone; VGGs are timed in PyTorch too if it is there. Prints
Markdown as it measures: medians of --repeats runs after one that is not counted, the share of the
card's peak (a matrix product of the same precision), and how far the gradients of the first step
are from those of the CPU.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from typing import Any, NamedTuple

os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # PyTorch needs some memory too

import gpu_torch
import jax
import jax.numpy as jnp
import numpy as np

from kvgg_jax.core.config import RunConfig
from kvgg_jax.core.keras_gate import keras
from kvgg_jax.core.state import Batch, TrainState
from kvgg_jax.models.build import build
from kvgg_jax.models.cost import describe, total
from kvgg_jax.models.vgg import BLOCKS
from kvgg_jax.training.optimizers import build_optimizer
from kvgg_jax.training.step import init_state, make_eval_step, make_train_step, zero_tally

CLASSES = 10
SIDE = 8192  # of the square matrices that measure a GPU's peak; a CPU gets a quarter
PRECISIONS = {"float32": "highest", "tf32": "tensorfloat32", "bfloat16": "default"}
HEAD = (
    "| network | precision | images | step, ms | of the peak | forward, ms | of the peak "
    "| Keras' step, ms | PyTorch's | memory, GiB | gradients |"
)


class Case(NamedTuple):
    """What is timed."""

    arch: str
    precision: str
    images: int
    size: int

    @property
    def config(self) -> RunConfig:
        """With batch norm's statistics and Adam, without augmentation."""
        train = {"precision": "bfloat16" if self.precision == "bfloat16" else "float32"}
        return RunConfig(model={"arch": self.arch, "head": "gap"}, train=train)

    def batch(self) -> Batch:
        """Random photos."""
        rng = np.random.default_rng(0)
        images = rng.integers(0, 256, (self.images, self.size, self.size, 3), np.uint8)
        labels = rng.integers(0, CLASSES, self.images).astype(np.int32)
        return Batch(images, labels, np.ones(self.images, np.float32))


def seconds(run: Callable[[], Any], repeats: int) -> float:
    """Median of some runs, after one that is not counted."""
    jax.block_until_ready(run())
    found = []
    for _ in range(repeats):
        started = time.perf_counter()
        jax.block_until_ready(run())
        found.append(time.perf_counter() - started)
    return statistics.median(found)


def network(case: Case) -> tuple[keras.Model, keras.Optimizer, TrainState]:
    """With its optimizer and first state."""
    config = case.config
    model = build(
        config.model,
        classes=CLASSES,
        image_size=case.size,
        precision=config.train.precision,
        seed=0,
    ).model
    optimizer = build_optimizer(config.optim, model, steps=100)
    return model, optimizer, init_state(model, optimizer)


def ours(case: Case, repeats: int) -> tuple[float, float, float]:
    """Seconds of a step and of a forward pass; relative distance of the gradients to the CPU's."""
    model, optimizer, first = network(case)
    step, batch = jax.jit(make_train_step(model, optimizer), donate_argnums=0), case.batch()
    placed, state = jax.device_put(batch), jax.tree.map(jnp.copy, first)

    def train() -> Any:
        nonlocal state
        state, tally = step(state, zero_tally(), placed)
        return tally

    forward = jax.jit(make_eval_step(model))
    predicted = seconds(lambda: forward(first.params, first.model_state, placed), repeats)
    trained = seconds(train, repeats)
    return trained, predicted, _distance(step, first, Batch(*(part[:4] for part in batch)))


def _distance(step: Callable[..., Any], first: TrainState, batch: Batch) -> float:
    """Of the gradients of a first step here and on the CPU, as Adam's moments have them."""
    if jax.default_backend() == "cpu":
        return 0.0
    found = []
    for device in (jax.devices()[0], jax.devices("cpu")[0]):
        with jax.default_device(device):
            state = jax.tree.map(lambda array: jnp.array(np.asarray(array)), first)
            slots = step(state, zero_tally(), batch)[0].opt_state
            moments = [np.ravel(slot) for name, slot in slots.items() if "momentum" in name]
            found.append(np.concatenate(moments))
    here, there = found
    return float(np.linalg.norm(here - there) / np.linalg.norm(there))


def of_keras(case: Case, repeats: int) -> float:
    """Seconds of `train_on_batch` of the same network, on JAX."""
    model, _, _ = network(case)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer=keras.optimizers.Adam(1e-4), loss=loss)
    batch = case.batch()
    images = batch.images.astype(np.float32) / 255
    return seconds(lambda: model.train_on_batch(images, batch.labels), repeats)


def of_torch(case: Case, repeats: int) -> str:
    """Milliseconds of a step of the same VGG in PyTorch; a dash for others, and without it."""
    if case.arch not in BLOCKS or not gpu_torch.is_there():
        return "-"
    step = gpu_torch.make_step(BLOCKS[case.arch], case.batch(), case.precision, classes=CLASSES)
    return f"{1000 * seconds(step, repeats):.1f}"


def peak(precision: str, repeats: int) -> float:
    """FLOP/s of a product of square matrices."""
    side = SIDE if jax.default_backend() != "cpu" else SIDE // 4
    matrix = jnp.ones((side, side), "bfloat16" if precision == "bfloat16" else "float32")
    multiply = jax.jit(jnp.matmul)
    return 2 * side**3 / seconds(lambda: multiply(matrix, matrix), repeats)


def row(case: Case, flops: float, repeats: int) -> str:
    """One line of the table."""
    layers = describe(case.config.model, classes=CLASSES, image_size=case.size)
    cost = total(layers, image_size=case.size, batch_size=case.images)
    step, forward, distance = ours(case, repeats)
    memory = (jax.devices()[0].memory_stats() or {}).get("peak_bytes_in_use")
    cells = [
        *(case.arch, case.precision, str(case.images)),
        *(f"{1000 * step:.1f}", f"{cost.training_flops / step / flops:.0%}"),
        *(f"{1000 * forward:.1f}", f"{cost.forward_flops / forward / flops:.0%}"),
        f"{1000 * of_keras(case, repeats):.1f}",
        of_torch(case, repeats),
        "-" if memory is None else f"{memory / 2**30:.1f}",
        f"{distance:.1e}",
    ]
    return f"| {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--arch", nargs="+", default=["vgg16", "efficientnetv2-b0"])
    parser.add_argument("--precision", nargs="+", choices=PRECISIONS, default=[*PRECISIONS])
    parser.add_argument("--batch-size", type=int, nargs="+", default=[32, 64, 128, 256])
    parser.add_argument("--image-size", type=int, default=224)
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=300, help="begin no row after these")
    args = parser.parse_args()
    started, device = time.perf_counter(), jax.devices()[0]
    print(f"{device.device_kind}, jax {jax.__version__}, keras {keras.__version__}\n\n{HEAD}")
    print("|" + "---|" * HEAD.count(" |"), flush=True)
    for precision in args.precision:
        with jax.default_matmul_precision(PRECISIONS[precision]):
            flops = peak(precision, args.repeats)
            for arch in args.arch:
                for images in args.batch_size:
                    if time.perf_counter() - started < args.seconds:
                        case = Case(arch, precision, images, args.image_size)
                        print(row(case, flops, args.repeats), flush=True)


if __name__ == "__main__":
    main()
