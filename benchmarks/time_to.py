"""Seconds until a recipe reaches a validation accuracy, the median of several seeds: Markdown.

python benchmarks/time_to.py ../shared/data/coffee 0.9875
python benchmarks/time_to.py ../shared/data/flowers 0.80 --recipe flowers.toml
python benchmarks/time_to.py ../shared/data/coffee 0.9875 --set optim.label_smoothing=0.1

All seeds split the photos alike (`data.split_seed = 42`). Each is a process of its own, and its
clock runs from the start of that process until the epoch that reaches the accuracy has been
validated: imports, reading the photos and compiling count. It ends there. The learning rate follows
the recipe's number of epochs. A seed that never reaches it counts as infinitely long.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

STARTED = time.perf_counter()


class Reached(NamedTuple):
    """When a seed was there; `seconds` is infinite where it never was."""

    seconds: float
    epoch: int
    best: float
    before: float
    """Seconds before the first step."""


def one(args: argparse.Namespace) -> Reached:
    """Trains with one seed until the accuracy is reached."""
    from kvgg_jax import train
    from kvgg_jax.cli.console import Screen
    from kvgg_jax.core.config_file import parse_set, recipe_file, resolve, with_values
    from kvgg_jax.core.errors import Stopped
    from kvgg_jax.core.events import EpochEnded, Event, Progress

    file = Path(args.recipe) if args.recipe.endswith(".toml") else recipe_file(args.recipe)
    changes = {"seed": args.seed, "data.split_seed": 42, "data.dir": args.photos}
    asked = resolve(file, dict(map(parse_set, args.set)))
    config = with_values(asked, changes, where="the benchmark")
    begun, rows = math.inf, list[tuple[float, float]]()

    def hear(event: Event) -> None:
        nonlocal begun
        now = time.perf_counter() - STARTED
        if isinstance(event, Progress) and event.stage == "training":
            begun = min(begun, now)
        if isinstance(event, EpochEnded):
            rows.append((now, event.row.val_accuracy))
        screen(event)

    def is_there() -> bool:
        return bool(rows) and rows[-1][1] >= args.accuracy

    with tempfile.TemporaryDirectory() as folder, Screen() as screen:
        try:
            train(config, out=folder, name="run", emit=hear, stop=is_there)
        except Stopped:
            assert is_there()
    seconds = rows[-1][0] if is_there() else math.inf
    return Reached(seconds, len(rows), max(accuracy for _, accuracy in rows), begun)


def each(args: argparse.Namespace, words: list[str]) -> list[Reached]:
    """Of all seeds, one after the other."""
    found = []
    for seed in range(1, args.seeds + 1):
        command = [sys.executable, __file__, *words, "--seed", str(seed)]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        found.append(Reached(*json.loads(done.stdout)))
        print(f"seed {seed}: {found[-1]}", file=sys.stderr, flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photos")
    parser.add_argument("accuracy", type=float)
    parser.add_argument("--recipe", default="fast", help="a name of `kvgg recipes`, or a file")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--seed", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.seed is not None:
        print(json.dumps(one(args)))
        return
    found = each(args, sys.argv[1:])
    seconds = [one.seconds for one in found]
    what = " ".join([args.recipe, *args.set])
    print("| recipe | median | each seed | epochs | best seen | before the first step |")
    print("|---|---|---|---|---|---|")
    cells = [
        f"{statistics.median(seconds):.0f} s",
        ", ".join(f"{one:.0f}" for one in seconds),
        ", ".join(str(one.epoch) for one in found),
        ", ".join(f"{one.best:.4f}" for one in found),
        f"{statistics.median(one.before for one in found):.0f} s",
    ]
    print(f"| {what} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
