"""What happens to photos besides decoding, with many of them in many classes: split, stored, drawn.

python benchmarks/scale.py --classes 5000 --photos 100000

No file is read. Each row: seconds of processor time and MiB of memory above those of the photos'
names, in a process of its own. Prints JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import time
from collections import deque
from collections.abc import Callable
from io import StringIO
from pathlib import Path

import numpy as np
import scipy.sparse.csgraph
import scipy.spatial  # noqa: F401  # loaded here, so that no row counts it

from kvgg_jax.data.audit.audit import copies_warning
from kvgg_jax.data.audit.color_baseline import compare_colors
from kvgg_jax.data.audit.duplicates import Fingerprint
from kvgg_jax.data.audit.inspect import Seen
from kvgg_jax.data.class_balance import class_weights, draw_evenly
from kvgg_jax.data.grouping import fill
from kvgg_jax.data.samples import Samples
from kvgg_jax.data.sources.folder import Folder
from kvgg_jax.data.split import Split, split_from_csv, split_samples, split_to_csv


def made_up(classes: int, photos: int) -> Samples:
    """Photos spread over the classes, some of which have twice as many as others."""
    labels = np.sort(np.random.default_rng(0).integers(0, classes * 3 // 2, photos) % classes)
    names = tuple(f"class {k:05}" for k in range(classes))
    paths = tuple(f"{names[label]}/photo {i:07}.jpg" for i, label in enumerate(labels))
    return Samples(Folder(Path("photos")), paths, tuple(labels.tolist()), names)


def seen(samples: Samples) -> list[Seen]:
    colors = np.random.default_rng(1).random((len(samples), 6), np.float32)
    blank = np.zeros((16, 16, 3), np.uint8)
    return [
        Seen(Path(path), Fingerprint("", 0, blank, color))
        for path, color in zip(samples.paths, colors, strict=True)
    ]


def rows(samples: Samples) -> dict[str, Callable[[], object]]:
    count, classes = len(samples), samples.classes
    groups = np.arange(count) // np.where(np.arange(count) % 50 == 0, 2, 1)  # some in pairs
    labels = np.array(samples.labels, np.int32)
    split = Split(samples.take(list(range(1, count))), samples.take([0]))
    text = "".join(split_to_csv(split))
    digests = [str(i % (count - 9)) for i in range(count)]
    every = np.arange(count)
    few = samples.take(every[:: max(count // 10_000, 1)].tolist())
    colors = (seen(few), few.labels), (seen(few), few.labels)
    return {
        "split stratified": lambda: split_samples(samples, val_split=0.2, seed=1, how="stratified"),
        "split grouped": lambda: fill(samples.labels, groups, [0.2, 0.8], seed=1),
        "10 folds": lambda: fill(samples.labels, groups, [0.1] * 10, seed=1),
        "split.csv written": lambda: deque(split_to_csv(split), maxlen=0),
        "split.csv read": lambda: split_from_csv(
            StringIO(text, newline="\n"), source=samples.source, classes=classes
        ),
        "relabel": lambda: samples.relabel(classes[::-1]),
        "class weights": lambda: class_weights(samples),
        "balanced epoch": lambda: draw_evenly(every, labels, np.random.default_rng(1)),
        "exact copies": lambda: copies_warning(split, digests, grouped=False),
        "color baseline": lambda: compare_colors(*colors),
    }


def measured(
    call: Callable[[], object], clock: Callable[[], float] = time.process_time
) -> tuple[float, float]:
    """Seconds by `clock` and MiB, in a forked process."""
    receiver, sender = os.pipe()
    if os.fork() == 0:
        before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, clock()
        call()
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        os.write(sender, json.dumps([clock() - start, grown / 1024]).encode())
        os._exit(0)
    os.wait()
    os.close(sender)
    seconds, mib = json.loads(os.read(receiver, 1000) or "[NaN, NaN]")
    return seconds, round(mib, 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--classes", type=int, default=5000)
    parser.add_argument("--photos", type=int, default=100_000)
    parser.add_argument("--only", default="")
    args = parser.parse_args()
    samples = made_up(args.classes, args.photos)
    for name, call in rows(samples).items():
        if args.only in name:
            seconds, mib = measured(call)
            print(
                json.dumps({"row": name, "seconds_and_mib": [round(seconds, 2), mib]}), flush=True
            )


if __name__ == "__main__":
    main()
