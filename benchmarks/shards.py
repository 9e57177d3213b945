"""Packed photos of any number: time to open, memory, and photos a second by number of threads.

python benchmarks/shards.py --photos 1000000 --folder /tmp/shards

Tiny photos are drawn into shards first, unless they are there. Each row is measured in a process of
its own: MiB are its largest memory above what it took once all was imported. Prints JSON.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image
from scale import measured

from kvgg_jax.core.files import open_lines, write_text
from kvgg_jax.data.reader import read
from kvgg_jax.data.samples import Samples
from kvgg_jax.data.shards.index import write_index
from kvgg_jax.data.shards.pack import SHARD_BYTES
from kvgg_jax.data.shards.tar import add, new_shard, read_shard, shard_name
from kvgg_jax.data.sources.folder import Folder
from kvgg_jax.data.sources.shards import scan_shards
from kvgg_jax.data.split import split_from_csv, split_samples, split_to_csv

CLASSES, SIDE, READ = 100, 8, 20_000


def draw(folder: Path, count: int) -> None:
    """Shards of `count` photos of `SIDE` pixels, in 50 different ones."""
    folder.mkdir(parents=True)
    rng, contents = np.random.default_rng(0), []
    for _ in range(50):
        file = BytesIO()
        Image.fromarray(rng.integers(0, 256, (SIDE, SIDE, 3), np.uint8)).save(file, "png")
        contents.append(file.getvalue())
    labels = np.arange(count) * CLASSES // count
    classes = tuple(f"class {label:03}" for label in range(CLASSES))
    paths = [f"{classes[label]}/photo {i:07}.png" for i, label in enumerate(labels.tolist())]
    shards, row = [], 0
    while row < count:
        file = folder / shard_name(len(shards))
        with new_shard(file) as tar:
            while row < count and tar.offset < SHARD_BYTES:
                add(tar, row, contents[row % 50], label=int(labels[row]), name="")
                row += 1
        shards.append(read_shard(file))
    write_index(folder, Samples(Folder(folder), paths, labels.tolist(), classes), shards)


def split_and_kept(folder: Path) -> None:
    """All that a run does with the table of its photos, and then reads at a resume."""
    samples = scan_shards(folder)
    split = split_samples(samples, val_split=0.2, seed=1)
    samples.rows(split.train)
    with tempfile.TemporaryDirectory() as kept:
        file = Path(kept) / "split.csv"
        write_text(file, split_to_csv(split))
        with open_lines(file) as lines:
            split_from_csv(lines, source=samples.source, classes=samples.classes)


def photos_read(folder: Path, threads: int, size: int | None = None) -> Callable[[], object]:
    """`READ` photos in random order: their bytes, checked, or decoded to `size`."""
    samples = scan_shards(folder)
    rows = np.random.default_rng(1).integers(0, len(samples), READ).tolist()

    def read_one(row: int) -> None:
        samples.read(row) if size is None else samples.load(row, size, "squash")

    def run() -> None:
        with ThreadPoolExecutor(threads) as pool:
            for start in range(0, READ, 1000):
                list(pool.map(read_one, rows[start : start + 1000]))

    return run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=int, default=1000)
    parser.add_argument("--folder", type=Path, required=True)
    args = parser.parse_args()
    if not args.folder.exists():
        measured(lambda: draw(args.folder, args.photos), time.perf_counter)
    for name, call in {
        "opened": lambda: scan_shards(args.folder),
        "split, kept and read again": lambda: split_and_kept(args.folder),
        "all decoded, none kept": lambda: read(scan_shards(args.folder), 32, cache="none"),
    }.items():
        seconds, mib = measured(call, time.perf_counter)
        print(json.dumps({"row": name, "seconds": round(seconds, 2), "mib": mib}), flush=True)
    for what, size in (("read", None), ("decoded", 32)):
        for threads in (1, 2, 4):
            seconds, mib = measured(photos_read(args.folder, threads, size), time.perf_counter)
            row = {"row": what, "threads": threads, "photos_per_second": round(READ / seconds)}
            print(json.dumps({**row, "mib": mib}), flush=True)


if __name__ == "__main__":
    main()
