"""Our pipeline beside Keras' `image_dataset_from_directory`, on drawn pictures, paired.

python benchmarks/pipeline.py png      # 1,024 PNG of 224 px
python benchmarks/pipeline.py jpeg     # 100 JPEG of 12 megapixels
python benchmarks/pipeline.py memory   # our memory, 1,000 to 100,000 PNG of 64 px
python benchmarks/pipeline.py decode   # processor time of one file, and of its decoder alone

The peer is map (divide by 255), cache, shuffle, batch, prefetch. The first epoch makes the pipeline
and decodes, later ones come from the cache. Prints JSON.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from kvgg_jax.cli.huge_pages import restart_with_huge_pages

SIZE, SMALL, BATCH = 224, 64, 32
Epoch = Callable[[], int]


def draw(folder: Path, kind: str, count: int, size: int = SIZE) -> None:
    """Pictures that compress as photos do: smooth, with some noise. Hard links beyond 100."""
    width, height = (4000, 3000) if kind == "jpeg" else (size, size)
    rng = np.random.default_rng(0)
    for k in range(count):
        path = folder / "ab"[k % 2] / f"{k:06}.{'jpg' if kind == 'jpeg' else 'png'}"
        path.parent.mkdir(parents=True, exist_ok=True)
        if k >= 100:
            path.hardlink_to(folder / "ab"[k % 2] / f"{k % 100:06}{path.suffix}")
            continue
        coarse = rng.integers(0, 256, (12, 16, 3), np.uint8)
        smooth = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
        noise = rng.integers(-6, 7, (height, width, 1))
        Image.fromarray((np.asarray(smooth) + noise).clip(0, 255).astype(np.uint8)).save(path)


def ours(folder: Path, cache: str = "auto", size: int = SIZE) -> Epoch:
    from kvgg_jax.data.pipeline import Pipeline, hold
    from kvgg_jax.data.reader import read
    from kvgg_jax.data.sources.folder import scan

    pictures = read(scan(folder), size, cache=cache, folder=folder.parent)
    rows = np.arange(len(pictures.samples))
    pipeline = Pipeline(hold(pictures), rows, batch_size=BATCH, seed=0)
    return lambda: sum(int(batch.weight.sum()) for batch in pipeline.epoch(1))


def peer(folder: Path) -> Epoch:
    from kvgg_jax.core.keras_gate import keras
    from kvgg_jax.core.tf_gate import tf

    data = keras.utils.image_dataset_from_directory(
        folder, image_size=(SIZE, SIZE), batch_size=None, shuffle=False, verbose=False
    )
    data = data.map(lambda x, y: (x / 255.0, y), num_parallel_calls=tf.data.AUTOTUNE).cache()
    data = data.shuffle(1000).batch(BATCH).prefetch(tf.data.AUTOTUNE)
    return lambda: sum(len(labels) for _, labels in data.as_numpy_iterator())


def speeds(make: Callable[[Path], Epoch], folder: Path) -> tuple[float, float]:
    """Images a second, of a new pipeline's first epoch and of its second."""
    started = time.perf_counter()
    epoch = make(folder)
    count = epoch()
    amid = time.perf_counter()
    return count / (amid - started), epoch() / (time.perf_counter() - amid)


def compare(kind: str, count: int, pairs: int) -> dict[str, object]:
    """New pipelines, ours and theirs in turn."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / kind
        draw(folder, kind, count)
        speeds(peer, folder), speeds(ours, folder)  # imports, and the files into the page cache
        pair = [(speeds(ours, folder), speeds(peer, folder)) for _ in range(pairs)]
    rows = [(a[0], b[0], a[1], b[1]) for a, b in pair]
    middle = [round(statistics.median(column), 1) for column in zip(*rows, strict=True)]
    return {
        "pictures": f"{count} {kind}",
        "order": "[kvgg_jax, image_dataset_from_directory], images a second",
        "first_epoch": middle[:2],
        "later_epochs": middle[2:],
        "ratios_first": [round(a / b, 2) for a, b, *_ in rows],
        "ratios_later": [round(row[2] / row[3], 2) for row in rows],
    }


def peak(count: int, cache: str) -> float:
    """MiB of a process of its own that runs one epoch."""
    command = [sys.executable, __file__, "memory", "--count", str(count), "--cache", cache]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def milliseconds(read: Callable[[Path], object], files: list[Path]) -> float:
    """Of processor time a file: the best of five rounds."""
    rounds = []
    for _ in range(5):
        started = time.process_time()
        for file in files:
            read(file)
        rounds.append(time.process_time() - started)
    return round(min(rounds) / len(files) * 1e3, 2)


def decode() -> dict[str, dict[str, float]]:
    """Milliseconds a file, over 20 of them: our way, its decoder alone, TensorFlow's way."""
    from kvgg_jax.core.tf_gate import tf
    from kvgg_jax.data.decode.image import load

    def alone(file: Path) -> None:
        with Image.open(file) as image:
            image.draft(None, (SIZE * 3 // 2, SIZE * 3 // 2))
            image.load()

    def theirs(file: Path) -> None:
        pixels = tf.io.decode_image(tf.io.read_file(str(file)), 3, expand_animations=False)
        tf.image.resize(pixels, (SIZE, SIZE))

    ways = {"load": lambda file: load(file, SIZE), "its decoder": alone, "TensorFlow": theirs}
    found: dict[str, dict[str, float]] = {kind: {} for kind in ("jpeg", "png")}
    for kind, times in found.items():
        with tempfile.TemporaryDirectory() as name:
            draw(Path(name), kind, 20)
            files = sorted(Path(name).rglob("*.*"))
            times |= {way: milliseconds(read, files) for way, read in ways.items()}
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("task", choices=("png", "jpeg", "memory", "decode"))
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--count", type=int)
    parser.add_argument("--cache", choices=("memory", "disk", "none"))
    args = parser.parse_args()
    if args.task in ("png", "jpeg"):
        restart_with_huge_pages()  # as `kvgg train` does, for both
    if args.task == "decode":
        print(json.dumps({"milliseconds": decode()}, indent=2))
    elif args.task != "memory":
        count = args.count or (1024 if args.task == "png" else 100)
        print(json.dumps(compare(args.task, count, args.pairs), indent=2))
    elif args.count:
        with tempfile.TemporaryDirectory(dir=Path.cwd()) as name:
            draw(Path(name) / "png", "png", args.count, SMALL)
            ours(Path(name) / "png", args.cache, SMALL)()
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    else:
        caches, counts = ("memory", "disk", "none"), (1000, 10_000, 100_000)
        table = {c: {str(n): round(peak(n, c)) for n in counts} for c in caches}
        print(json.dumps({"peak_mib": table}, indent=2))


if __name__ == "__main__":
    main()
