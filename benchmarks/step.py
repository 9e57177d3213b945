"""One training step against `keras.Model.fit` on the same backend, paired, and the memory of each.

python benchmarks/step.py --image-size 224 --batch-size 8 --pairs 5

A third contestant is our loop with Keras' own convolution, which tells the two apart.

Times alternate in one process, so that a drifting machine hits both; the peak memory of each is
taken in a process of its own. Prints JSON.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

import numpy as np

from kvgg_jax import model as kvgg_model
from kvgg_jax.compiled import compile_step
from kvgg_jax.config import ModelConfig, OptimConfig
from kvgg_jax.keras_gate import keras
from kvgg_jax.model import vgg
from kvgg_jax.optimizer import build_optimizer, build_schedule
from kvgg_jax.state import Batch
from kvgg_jax.step import init_state, make_train_step, zero_tally


def pictures(size: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (count, size, size, 3), np.uint8)
    return images, rng.integers(0, 4, count, np.int32)


def ours(size: int, count: int) -> Callable[[], None]:
    model = vgg(ModelConfig(), classes=4, image_size=size)
    optimizer = build_optimizer(OptimConfig(), model)
    batch = Batch(*pictures(size, count), np.ones(count, np.float32))
    state = init_state(model, optimizer)
    step = compile_step(
        "training", make_train_step(model, optimizer), state, zero_tally(), batch, donate=(0,)
    )

    def run() -> None:
        nonlocal state
        state, tally = step(state, zero_tally(), batch)
        float(tally.loss)

    return run


def stock(size: int, count: int) -> Callable[[], None]:
    """Our step, with Keras' own convolution."""
    fast, kvgg_model.Conv2D = kvgg_model.Conv2D, keras.layers.Conv2D
    try:
        return ours(size, count)
    finally:
        kvgg_model.Conv2D = fast


def fit(size: int, count: int) -> Callable[[], None]:
    model = keras.Sequential([keras.Input((size, size, 3))])
    for block in ((64, 64), (128, 128), (256,) * 3, (512,) * 3, (512,) * 3):
        for channels in block:
            model.add(keras.layers.Conv2D(channels, 3, padding="same", activation="relu"))
        model.add(keras.layers.MaxPooling2D())
    model.add(keras.layers.Flatten())
    for units in (1024, 512):
        model.add(keras.layers.Dense(units, activation="relu"))
    model.add(keras.layers.Dense(4))
    model.compile(
        keras.optimizers.Adam(build_schedule(OptimConfig())),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    images, labels = pictures(size, count)
    images = images.astype(np.float32) / 255

    def run() -> None:
        model.fit(images, labels, batch_size=count, epochs=1, verbose=0)

    return run


CONTESTANTS = {"kvgg_jax": ours, "stock_convolution": stock, "keras_fit": fit}


def seconds(run: Callable[[], None]) -> float:
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def peak_mib(name: str, size: int, count: int) -> float:
    command = [sys.executable, __file__, "--only", name]
    command += ["--image-size", str(size), "--batch-size", str(count)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--image-size", type=int, default=224)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--only", choices=CONTESTANTS, help="three steps of one; prints its MiB")
    args = parser.parse_args()
    size, count = args.image_size, args.batch_size
    if args.only:
        run = CONTESTANTS[args.only](size, count)
        for _ in range(3):
            run()
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
        return
    # First, while this process is small: a child starts with its parent's peak on Linux.
    peaks = {name: peak_mib(name, size, count) for name in CONTESTANTS}
    runs = {name: make(size, count) for name, make in CONTESTANTS.items()}
    first = {name: seconds(run) for name, run in runs.items()}
    times = [{name: seconds(run) for name, run in runs.items()} for _ in range(args.pairs)]
    result = {
        "image_size": size,
        "batch_size": count,
        "first_step_seconds": first,
        "median_seconds": {n: statistics.median(pair[n] for pair in times) for n in runs},
        "over_ours": {n: [pair[n] / pair["kvgg_jax"] for pair in times] for n in runs},
        "peak_mib": peaks,
    }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
