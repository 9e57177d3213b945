"""How `kvgg predict` does on many photos: its memory, and its speed beside timm's, paired.

python benchmarks/predict.py memory --run RUN               # 1,000, 10,000 and 100,000 photos
python benchmarks/predict.py timm ../shared/data/coffee --arch efficientnetv2-b0

`memory`: whole processes, on small JPEGs of which 1,000 differ. `timm`: photos to classes, from the
first batch to the last, so without start and compilation; random weights, batches of 32, float32.
timm loads by its own loader with two workers, and computes with channels last. Each turn is a
process of its own, and the two take turns. `forward` is our network alone, on a batch that is
there. timm and PyTorch are not in the project's environment: --python names one that has them.
Prints JSON.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

BATCH, WORKERS = 32, 2
COUNTS = (1_000, 10_000, 100_000)
DIFFERENT = 1_000  # photos; the others are links to them
SIDE = 64
TIMM = {
    "vgg16": "vgg16",
    "resnet50v2": "resnetv2_50",
    "efficientnetv2-b0": "tf_efficientnetv2_b0",
}
"""Our name of a network -> timm's."""


def speed(batches: Iterable[int]) -> float:
    """Photos a second after the first batch, from the number of photos in each."""
    done = iter(batches)
    next(done)
    started, count = time.perf_counter(), 0
    for photos in done:
        count += photos
    return count / (time.perf_counter() - started)


def ours(files: list[Path], run: str) -> float:
    from kvgg_jax.inference.classifier import load_classifier, predict_each

    found = predict_each(files, load_classifier(run), batch_size=BATCH)
    return speed(len(some) for some in iter(lambda: list(itertools.islice(found, BATCH)), []))


def forward(arch: str, size: int, batches: int) -> float:
    from contestant import kvgg

    run = kvgg("forward", arch, size, BATCH)
    run()
    return speed(BATCH for _ in range(batches) if run() is not None)


def timm_s(data: Path, arch: str, size: int, count: int) -> float:
    import timm
    import torch

    model = timm.create_model(TIMM[arch], pretrained=False, num_classes=4).eval()
    model = model.to(memory_format=torch.channels_last)
    photos = torch.utils.data.Subset(timm.data.ImageDataset(str(data)), range(count))
    photos.dataset.transform = timm.data.create_transform(
        (3, size, size), interpolation="bilinear", crop_pct=1.0, crop_mode="squash"
    )
    loader = torch.utils.data.DataLoader(photos, BATCH, num_workers=WORKERS)

    def classes() -> Iterable[int]:
        with torch.inference_mode():
            for images, _ in loader:
                found = model(images.to(memory_format=torch.channels_last)).softmax(-1)
                yield len(found.max(-1).indices.tolist())

    return speed(classes())


def turn(args: argparse.Namespace) -> float:
    """In a process of its own."""
    files = sorted(path for path in args.data.rglob("*") if path.is_file())[: args.photos]
    if args.turn == "timm":
        return timm_s(args.data, args.arch, args.image_size, len(files))
    if args.turn == "forward":
        return forward(args.arch, args.image_size, len(files) // BATCH)
    return ours(files, args.run)


def train_briefly(args: argparse.Namespace, folder: Path) -> str:
    """A run of one step, whose weights are as good as random."""
    from kvgg_jax import RunConfig, train
    from kvgg_jax.data.demo import write_demo

    photos = write_demo(folder / "photos", per_class=3)
    config = RunConfig(
        data={"dir": str(photos), "image_size": args.image_size},
        model={"arch": args.arch, "head": "slim" if args.arch == "vgg16" else "gap"},
        train={"epochs": 1, "batch_size": 8},
    )
    return str(train(config, name="brief", out=folder / "runs").run)


def beside_timm(args: argparse.Namespace) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        run = train_briefly(args, Path(folder))
        command = [__file__, "timm", str(args.data), "--arch", args.arch, "--run", run]
        command += ["--image-size", str(args.image_size), "--photos", str(args.photos)]

        def answer(name: str) -> float:
            python = args.python if name == "timm" else sys.executable
            done = subprocess.run(
                [python, *command, "--turn", name], stdout=subprocess.PIPE, text=True, check=True
            )
            return float(done.stdout.splitlines()[-1])

        names = ("ours", "timm", "forward")
        turns = [{name: answer(name) for name in names} for _ in range(args.pairs)]
    return {
        "photos_per_second": {
            name: round(statistics.median(one[name] for one in turns), 2) for name in names
        },
        "ours_over_timm": sorted(round(one["ours"] / one["timm"], 3) for one in turns),
        "ours_over_forward": sorted(round(one["ours"] / one["forward"], 3) for one in turns),
    }


def memory(args: argparse.Namespace) -> list[dict[str, Any]]:
    """Of `kvgg predict` as a whole."""
    found = []
    with tempfile.TemporaryDirectory() as folder:
        photos, rng = Path(folder, "photos"), np.random.default_rng(0)
        for number in range(max(args.counts)):
            place = photos / f"{number // 1000:03}" / f"{number:06}.jpg"
            place.parent.mkdir(parents=True, exist_ok=True)
            if number < DIFFERENT:
                coarse = rng.integers(0, 256, (4, 4, 3), np.uint8)
                Image.fromarray(coarse).resize((SIDE, SIDE)).save(place)
            else:
                os.link(photos / "000" / f"{number % DIFFERENT:06}.jpg", place)
        for count in args.counts:
            folders = [str(photos / f"{n:03}") for n in range(max(count // 1000, 1))]
            output = Path(folder, f"{count}.csv")
            command = [sys.executable, "-c", "from kvgg_jax.cli.main import main; main()"]
            command += ["predict", *folders, "--run", args.run, "--output", str(output)]
            started = time.perf_counter()
            process = subprocess.Popen(command, stdout=sys.stderr)
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            seconds = time.perf_counter() - started
            rows = sum(1 for _ in output.open()) - 1
            assert (process.returncode, rows) == (0, 1000 * len(folders)), (process, rows)
            peak = round(usage.ru_maxrss / 1024)
            found.append({"photos": rows, "peak_mib": peak, "seconds": round(seconds, 1)})
            print(found[-1], file=sys.stderr)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("memory", "timm"))
    parser.add_argument("data", type=Path, nargs="?")
    parser.add_argument("--run")
    parser.add_argument("--counts", type=int, nargs="+", default=COUNTS)
    parser.add_argument("--arch", choices=TIMM, default="efficientnetv2-b0")
    parser.add_argument("--image-size", type=int, default=224)
    parser.add_argument("--photos", type=int, default=320)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--python", default=sys.executable, help="one that has timm")
    parser.add_argument("--turn", choices=("ours", "timm", "forward"))
    args = parser.parse_args()
    if args.turn:
        print(turn(args))
    else:
        print(json.dumps(memory(args) if args.what == "memory" else beside_timm(args), indent=1))


if __name__ == "__main__":
    main()
