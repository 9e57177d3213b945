"""What the loop adds to its bare steps: pipeline, progress, tally, saving. Prints JSON.

python benchmarks/loop.py --image-size 96 --batch-size 32

VGG16, slim head, random pictures. Bare steps on one batch, and the training half of an epoch with
tf.data, the screen and the state of the epoch before being saved, take turns in one process.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
from rich.console import Console

from kvgg_jax.cli.console import Screen
from kvgg_jax.core.history import NOTHING_YET, EpochProgress, History
from kvgg_jax.core.state import TrainState, empty_batch
from kvgg_jax.core.tables.model import ModelConfig
from kvgg_jax.core.tables.optim import OptimConfig
from kvgg_jax.data.pipeline import Pipeline, hold
from kvgg_jax.data.reader import DecodedImages
from kvgg_jax.data.samples import Samples
from kvgg_jax.data.sources.folder import Folder
from kvgg_jax.models.build import vgg
from kvgg_jax.models.compile import compile_step
from kvgg_jax.runs.checkpoint import Checkpoints
from kvgg_jax.training.loop import Hooks, LoopInputs, never, train_epoch
from kvgg_jax.training.optimizers import build_optimizer
from kvgg_jax.training.step import init_state, make_eval_step, make_train_step, zero_tally


class NoKeeper:
    """The state is saved once an epoch, by `main`."""

    def save(self, state: TrainState, partial: EpochProgress) -> None: ...

    def record(self, state: TrainState, history: History) -> None: ...


def make(size: int, batch: int, steps: int) -> tuple[LoopInputs, TrainState]:
    count = batch * steps
    samples = Samples(Folder(Path()), tuple(map(str, range(count))), (0,) * count, ("a", "b"))
    images = np.random.default_rng(0).integers(0, 256, (count, size, size, 3), np.uint8)
    pipeline = Pipeline(
        hold(DecodedImages(samples, images)), np.arange(count), batch_size=batch, seed=0
    )
    model = vgg(ModelConfig(), classes=2, image_size=size)
    optimizer = build_optimizer(OptimConfig(), model)
    state, example = init_state(model, optimizer), empty_batch(batch, size)
    step = make_train_step(model, optimizer)
    task = LoopInputs(
        compile_step("training", step, state, zero_tally(), example, donate=(0,)),
        make_eval_step(model),
        train=pipeline,
        val=pipeline,
        learning_rate=lambda step: 1e-4,
    )
    return task, state


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--image-size", type=int, default=96)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--pairs", type=int, default=5)
    args = parser.parse_args()
    task, state = make(args.image_size, args.batch_size, args.steps)
    rows = []
    with (
        tempfile.TemporaryDirectory() as folder,
        Checkpoints(Path(folder)) as checkpoints,
        Screen(Console(stderr=True)) as screen,
    ):
        hooks = Hooks(NoKeeper(), None, never, screen)
        for epoch in range(1, args.pairs + 2):
            tally, batch = zero_tally(), next(task.train.epoch(1))
            started = time.perf_counter()
            for _ in range(args.steps):
                state, tally = task.train_step(state, tally, batch)
            float(tally.loss)
            bare = time.perf_counter() - started
            started = time.perf_counter()
            checkpoints.save_last(state)
            state, _ = train_epoch(task, (state, NOTHING_YET), epoch, started, hooks)
            rows.append((bare, time.perf_counter() - started))
            checkpoints.wait()
    rows = rows[1:]  # the first warms up
    result = {
        "seconds": [statistics.median(side) for side in zip(*rows, strict=True)],
        "order": "[bare steps, loop]",
        "loop_over_bare": [round(loop / bare, 3) for bare, loop in rows],
        "median": round(statistics.median(loop / bare for bare, loop in rows), 3),
    }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
