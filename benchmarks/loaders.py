"""Images a second from folder, list and shards, beside the loaders of other libraries, paired.

python benchmarks/loaders.py ../shared/data/coffee     # with the packages of the group `peers`
python benchmarks/loaders.py ../shared/data/coffee --overlap --image-size 48

Every loader gives shuffled batches of 32 squares, decoded by two threads or two processes. Each
turn is a process of its own, which makes the loader and reads three epochs; imports are not
counted. The loaders take turns. Only `kvgg_jax` and Keras' `cache()` keep decoded photos for later
epochs; `kvgg_jax, cache none` decodes in each epoch, as the others do. `--overlap`: all photos are
decoded and an epoch of VGG16 trained, one after the other and together. Prints JSON.
"""

from __future__ import annotations

import argparse
import io
import json
import math
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

BATCH, EPOCHS, WORKERS = 32, 3, 2
SHARD_BYTES = 32 * 2**20
Epochs = Callable[[int], Iterator[int]]
"""Number of an epoch -> the images in each of its batches."""


def ours(
    data: Path, size: int, cache: str = "memory", root: str | None = None
) -> Callable[[], Epochs]:
    from kvgg_jax.core.tables.data import DataConfig
    from kvgg_jax.core.tf_gate import tf
    from kvgg_jax.data.open_photos import open_photos
    from kvgg_jax.data.pipeline import Pipeline, hold
    from kvgg_jax.data.reader import read

    def make() -> Epochs:
        photos = open_photos(DataConfig(dir=str(data), root=root))
        decoded = read(photos, size, cache=cache)
        rows = np.arange(len(photos))
        pipeline = Pipeline(hold(decoded), rows, batch_size=BATCH, seed=0)
        return lambda epoch: (int(batch.weight.sum()) for batch in pipeline.epoch(epoch))

    assert tf.__version__, "imported before the clock starts"
    return make


def keras_folder(data: Path, size: int) -> Callable[[], Epochs]:
    from kvgg_jax.core.keras_gate import keras
    from kvgg_jax.core.tf_gate import tf

    def make() -> Epochs:
        images = keras.utils.image_dataset_from_directory(
            data, image_size=(size, size), batch_size=None, shuffle=False, verbose=False
        )
        images = images.cache().shuffle(1000, seed=0).batch(BATCH).prefetch(tf.data.AUTOTUNE)
        return lambda epoch: (len(labels) for _, labels in images.as_numpy_iterator())

    return make


def square(content: bytes, size: int) -> np.ndarray:
    with Image.open(io.BytesIO(content)) as image:
        return np.array(image.convert("RGB").resize((size, size), Image.Resampling.BILINEAR))


class Files:
    """Photos in class folders, as `torch.utils.data.Dataset` and Grain's sources are."""

    def __init__(self, data: Path, size: int) -> None:
        names = sorted(folder.name for folder in data.iterdir() if folder.is_dir())
        self._files = [(f, k) for k, name in enumerate(names) for f in (data / name).iterdir()]
        self._size = size

    def __len__(self) -> int:
        return len(self._files)

    def __getitem__(self, row: int) -> tuple[np.ndarray, int]:
        file, label = self._files[row]
        return square(file.read_bytes(), self._size), label


def torch_files(data: Path, size: int) -> Callable[[], Epochs]:
    from torch.utils.data import DataLoader

    def make() -> Epochs:
        files: Any = Files(data, size)
        loader = DataLoader(
            files, BATCH, shuffle=True, num_workers=WORKERS, persistent_workers=True
        )
        return lambda epoch: (len(labels) for _, labels in loader)

    return make


def torch_shards(data: Path, size: int) -> Callable[[], Epochs]:
    import torch
    import webdataset

    def make() -> Epochs:
        shards = sorted(map(str, data.glob("*.tar")))
        images = webdataset.WebDataset(shards, shardshuffle=False, empty_check=False)
        images = images.shuffle(1000).to_tuple("png;jpg", "cls")
        images = images.map_tuple(lambda content: square(content, size), int)
        loader = torch.utils.data.DataLoader(
            images, BATCH, num_workers=min(WORKERS, len(shards)), persistent_workers=True
        )
        return lambda epoch: (len(labels) for _, labels in loader)

    return make


def grain_files(data: Path, size: int) -> Callable[[], Epochs]:
    import grain

    def make() -> Epochs:
        files: Any = Files(data, size)
        images = grain.MapDataset.source(files).seed(0).shuffle().batch(BATCH)
        reading = grain.ReadOptions(num_threads=WORKERS, prefetch_buffer_size=4 * WORKERS)
        loader = images.to_iter_dataset(reading)
        return lambda epoch: (len(labels) for _, labels in loader)

    return make


LOADERS: dict[str, tuple[str, Callable[[Path, int], Callable[[], Epochs]]]] = {
    "kvgg_jax": ("folder", ours),
    "kvgg_jax, list": ("list", lambda data, size: ours(data, size, root="/")),
    "kvgg_jax, shards": ("shards", ours),
    "kvgg_jax, cache disk": ("folder", lambda data, size: ours(data, size, "disk")),
    "kvgg_jax, cache none": ("folder", lambda data, size: ours(data, size, "none")),
    "kvgg_jax, shards, cache none": ("shards", lambda data, size: ours(data, size, "none")),
    "image_dataset_from_directory": ("folder", keras_folder),
    "torch DataLoader": ("folder", torch_files),
    "torch DataLoader, webdataset": ("shards", torch_shards),
    "Grain": ("folder", grain_files),
}
"""Name -> what it reads, and what makes it."""


def turn(name: str, places: dict[str, Path], size: int) -> list[float]:
    """Images a second in each epoch, the first with the making of the loader."""
    command = [sys.executable, __file__, str(places[LOADERS[name][0]]), "--one", name]
    done = subprocess.run(
        [*command, "--image-size", str(size)], check=True, stdout=subprocess.PIPE, text=True
    )
    return list(json.loads(done.stdout))


def one(name: str, data: Path, size: int) -> list[float]:
    make, speeds = LOADERS[name][1](data, size), []
    started = time.perf_counter()
    epochs = make()
    for epoch in range(1, EPOCHS + 1):
        count = sum(epochs(epoch))
        now = time.perf_counter()
        speeds.append(count / (now - started))
        started = now
    return speeds


def overlap(data: Path, size: int, rounds: int) -> dict[str, Any]:
    """Seconds of an epoch that begins with decoding, and of one that decodes beside it."""
    from contestant import kvgg

    from kvgg_jax.data.reader import read
    from kvgg_jax.data.sources.folder import scan

    photos, step = scan(data), kvgg("step", "vgg16", size, BATCH)

    def train() -> None:
        for _ in range(math.ceil(len(photos) / BATCH)):
            step()

    def seconds(*work: Callable[[], object]) -> float:
        started = time.perf_counter()
        for call in work:
            call()
        return time.perf_counter() - started

    def together() -> None:
        with ThreadPoolExecutor(1) as pool:
            decoded = pool.submit(read, photos, size)
            train()
            decoded.result()

    step(), read(photos, size)
    turns = [(seconds(lambda: read(photos, size), train), seconds(together)) for _ in range(rounds)]
    return {"one_after_the_other_and_together": turns}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, help="a folder with one sub-folder per class")
    parser.add_argument("--image-size", type=int, default=224)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--loader", action="append", choices=LOADERS, help="repeatable")
    parser.add_argument("--overlap", action="store_true")
    parser.add_argument("--one", choices=LOADERS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        print(json.dumps(one(args.one, args.data, args.image_size)))
        return
    if args.overlap:
        print(json.dumps(overlap(args.data, args.image_size, args.rounds), indent=2))
        return
    with tempfile.TemporaryDirectory() as folder:
        places = {"folder": args.data, "list": Path(folder) / "photos.csv"}
        places["shards"] = Path(folder) / "shards"
        write_others(args.data, places)
        names = args.loader or list(LOADERS)
        turns = [{n: turn(n, places, args.image_size) for n in names} for _ in range(args.rounds)]
    table = {
        name: [round(statistics.median(column)) for column in zip(*speeds, strict=True)]
        for name in names
        for speeds in [[each[name] for each in turns]]
    }
    print(json.dumps({"images_per_second_by_epoch": table, "rounds": args.rounds}, indent=2))


def write_others(data: Path, places: dict[str, Path]) -> None:
    """The photos of a folder as a list, and as two shards or more."""
    from kvgg_jax.data.shards.pack import pack_data

    files = sorted(file.resolve() for file in data.glob("*/*"))
    rows = [f"{file},{file.parent.name}" for file in files]
    places["list"].write_text("\n".join(["path,label", *rows]) + "\n")
    pack_data(data, places["shards"], shard_bytes=SHARD_BYTES)


if __name__ == "__main__":
    main()
