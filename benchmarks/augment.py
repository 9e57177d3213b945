"""Milliseconds that the changes to a batch of training photos take: Markdown.

python benchmarks/augment.py --image-size 96

Random pixels; the fastest of several calls. A training step makes them as one program.
"""

from __future__ import annotations

import argparse
import time
from functools import partial

import jax
import numpy as np

from kvgg_jax.core.config import RunConfig
from kvgg_jax.core.config_file import with_values
from kvgg_jax.core.state import Batch
from kvgg_jax.training.augment.regions import side_to_crop
from kvgg_jax.training.setup import build_changes
from kvgg_jax.training.step import changed

CLASSES, CALLS, CROP = 10, 20, 0.35
CHANGES: dict[str, dict[str, object]] = {
    "light": {"augment": "light"},
    "light --augment-color": {"augment": "light", "augment_color": True},
    "strong": {"augment": "strong"},
    "strong --augment-color": {"augment": "strong", "augment_color": True},
    "randaugment": {"augment": "randaugment"},
    f"light --crop {CROP}": {"augment": "light", "crop": CROP},
    "light --mix mixup": {"augment": "light", "mix": "mixup"},
    f"light --crop {CROP} --mix cutmix": {"augment": "light", "crop": CROP, "mix": "cutmix"},
}


def milliseconds(values: dict[str, object], size: int, count: int) -> float:
    """Of one batch."""
    named = {f"data.{name}": value for name, value in values.items()}
    config = with_values(RunConfig(), named, where="the benchmark")
    side = side_to_crop(size, CROP) if config.data.crop else size
    images = np.random.default_rng(0).integers(0, 256, (count, side, side, 3), np.uint8)
    batch = Batch(images, np.arange(count, dtype=np.int32) % CLASSES, np.ones(count, np.float32))
    augment, mix = build_changes(config, size, CLASSES)
    change = jax.jit(partial(changed, augment=augment, mix=mix))
    jax.block_until_ready(change(batch, np.int32(0)))
    taken = []
    for step in range(1, CALLS + 1):
        started = time.perf_counter()
        jax.block_until_ready(change(batch, np.int32(step)))
        taken.append(time.perf_counter() - started)
    return 1000 * min(taken)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--image-size", type=int, default=96)
    parser.add_argument("--batch-size", type=int, default=32)
    args = parser.parse_args()
    print(f"| `--augment` | ms for {args.batch_size} photos of {args.image_size} px |")
    print("|---|---|")
    for name, values in CHANGES.items():
        found = milliseconds(values, args.image_size, args.batch_size)
        print(f"| `{name}` | {found:.0f} |", flush=True)


if __name__ == "__main__":
    main()
