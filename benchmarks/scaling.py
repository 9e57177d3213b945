"""What training on many GPUs should cost, by a formula, and what decoding takes here.

python benchmarks/scaling.py
python benchmarks/scaling.py --photos ../shared/data/coffee   # measures decoding on this machine

Prints the tables of docs/scaling.md. The costs of a network are those of `kvgg summary`; GPUs and
networks are assumed, as the first lines say.
"""

from __future__ import annotations

import argparse
import io
import math
import statistics
import time
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from kvgg_jax.core.config import RunConfig
from kvgg_jax.data.decode.image import load_bytes
from kvgg_jax.data.sources.folder import scan
from kvgg_jax.models.cost import Cost, describe, total

ARCH, SIZE, CLASSES = "vgg16", 224, 4
HEADS = ("full", "slim", "gap")
GPUS_PER_MACHINE = 8
SUSTAINED = {"bfloat16": 400e12, "TF32": 200e12}  # FLOP/s of a GPU, some 40 % of an H100's peak
NVLINK = 450e9  # bytes/s that a GPU sends within its machine
HOP = 10e-6  # seconds until a message arrives
MEGAPIXELS_12 = (4000, 3000)


class Network(NamedTuple):
    """Between the machines: bytes/s that one GPU sends while all of its machine do."""

    name: str
    speed: float


NETWORKS = (
    Network("NVLink between all", NVLINK),
    Network("400G per GPU", 400e9 / 8),
    Network("100GbE per machine", 100e9 / 8 / GPUS_PER_MACHINE),
)


def ring(size: float, members: int, speed: float) -> float:
    """Seconds to add up `size` bytes of each of `members` in a ring: each sends 2 (n - 1) / n."""
    return 2 * (members - 1) * (size / members / speed + HOP)


def adding_up(gradients: float, gpus: int, network: Network) -> float:
    """Seconds: within the machines, and an eighth per GPU between them."""
    within = min(gpus, GPUS_PER_MACHINE)
    machines = math.ceil(gpus / GPUS_PER_MACHINE)
    return ring(gradients, within, NVLINK) + ring(gradients / within, machines, network.speed)


def efficiency(cost: Cost, gradients: float, gpus: int, network: Network, flops: float) -> float:
    """Share of its time that a GPU computes. Nothing overlaps, since gradients are added at once:
    compute / (compute + adding up), and 1 for one GPU."""
    compute = cost.training_flops / flops
    return compute / (compute + adding_up(gradients, gpus, network))


def print_predictions(images: int) -> None:
    """A table per precision."""
    print(
        f"{ARCH}, {SIZE} px, {images} photos per GPU and step; {GPUS_PER_MACHINE} GPUs per machine"
    )
    for precision, flops in SUSTAINED.items():
        print(f"\n{precision}, {flops / 1e12:.0f} TFLOP/s sustained per GPU\n")
        print("| head | gradients | compute | GPUs |" + "".join(f" {n.name} |" for n in NETWORKS))
        print("|---|---|---|---|" + "---|" * len(NETWORKS))
        for head in HEADS:
            config = RunConfig(model={"arch": ARCH, "head": head}).model
            layers = describe(config, classes=CLASSES, image_size=SIZE)
            cost = total(layers, image_size=SIZE, batch_size=images)
            for gpus in (8, 64, 512):
                shares = [efficiency(cost, cost.weight_bytes, gpus, n, flops) for n in NETWORKS]
                cells = "".join(f" {share:.0%} |" for share in shares)
                first = f"{head} | {cost.weight_bytes / 2**20:.0f} MiB"
                compute = f"{1000 * cost.training_flops / flops:.0f} ms"
                print(f"| {first} | {compute} | {gpus} |{cells}")


def decoding(contents: list[bytes]) -> float:
    """Median seconds of processor time to decode one of them to the training size."""
    found = []
    for content in contents:
        started = time.thread_time()
        load_bytes(content, SIZE, name="a photo")
        found.append(time.thread_time() - started)
    return statistics.median(found)


def as_jpeg(content: bytes) -> bytes:
    """Enlarged to 12 megapixels, as a phone would have it."""
    into = io.BytesIO()
    image = Image.open(io.BytesIO(content)).convert("RGB").resize(MEGAPIXELS_12)
    image.save(into, "jpeg", quality=90)
    return into.getvalue()


def print_decoding(photos: Path, count: int) -> None:
    """Processor time per photo, and the cores that keep one GPU busy."""
    files = [path.read_bytes() for path in scan(photos).files()[:count]]
    layers = describe(RunConfig().model, classes=CLASSES, image_size=SIZE)
    one = total(layers, image_size=SIZE, batch_size=1).training_flops
    print("\n| photo | per photo | cores per GPU, TF32 | bfloat16 |\n|---|---|---|---|")
    kinds = {"as it lies": files, "JPEG of 12 megapixels": [as_jpeg(file) for file in files]}
    for name, contents in kinds.items():
        spent = decoding(contents)
        cores = [f"{spent * SUSTAINED[key] / one:.0f}" for key in ("TF32", "bfloat16")]
        print(f"| {name} | {1000 * spent:.2f} ms | {cores[0]} | {cores[1]} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=32, help="photos per GPU and step")
    parser.add_argument("--photos", type=Path, help="a folder, whose photos are decoded")
    parser.add_argument("--count", type=int, default=40, help="photos to decode")
    args = parser.parse_args()
    print_predictions(args.images)
    if args.photos:
        print_decoding(args.photos, args.count)


if __name__ == "__main__":
    main()
