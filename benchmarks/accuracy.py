"""Validation accuracy against seconds: kvgg_jax and other programs, from random weights.

nox -s accuracy -- run ../shared/data/coffee --out DIR --minutes 5 --seeds 3
nox -s accuracy -- run ../shared/data/coffee --out DIR --minutes 5 --only kvgg_jax-fast --size 48
nox -s accuracy -- show DIR --chart accuracy.png

All get the same photos, split alike (`keras`, seed 42), and train for the same minutes on all cores
of this machine, one after the other, each in a process of its own (accuracy_peers.py). The clock of
a row runs from the start of its process, so imports, reading and compiling count. Each program
trains as it does by default, at the size that it has by default and at a small one. `run` keeps a
CSV file per contestant, size and seed, and continues; `show` prints a Markdown table and draws the
chart.
"""

from __future__ import annotations

import argparse
import csv
import statistics
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from accuracy_peers import CONTESTANTS

from kvgg_jax import RunConfig
from kvgg_jax.data.grouping import split_photos
from kvgg_jax.data.sources.folder import scan

SPLIT_SEED = 42


class Curve(NamedTuple):
    """What one process reached: seconds since its start, and the accuracy then."""

    name: str
    size: int
    seed: int
    points: tuple[tuple[float, float], ...]

    @property
    def best(self) -> float:
        return max(accuracy for _, accuracy in self.points)


def link_split(photos: Path, folder: Path) -> Path:
    """`folder`/train and `folder`/val, with links to the photos of either side."""
    samples = scan(photos)
    for part, some in split_photos(RunConfig(seed=SPLIT_SEED), samples).parts():
        for file in some.files():
            link = folder / part / file.parent.name / file.name
            link.parent.mkdir(parents=True, exist_ok=True)
            link.is_symlink() or link.symlink_to(file.resolve())
    return folder


def run(args: argparse.Namespace) -> None:
    """Every contestant at every size, seed by seed, that has no file yet."""
    folder = link_split(args.photos, args.out / "photos")
    for seed in range(1, args.seeds + 1):
        for name, sizes in CONTESTANTS.items():
            for size in [args.size] if args.size else sizes:
                file = args.out / f"{name}-{size}-{seed}.csv"
                if file.exists() or (args.only and name not in args.only):
                    continue
                print(f"{name}, {size} px, seed {seed}", file=sys.stderr, flush=True)
                script = Path(__file__).with_name("accuracy_peers.py")
                command = [sys.executable, str(script), name, str(folder), "--size", str(size)]
                command += ["--seed", str(seed), "--minutes", str(args.minutes)]
                temporary = file.with_suffix(".part")
                with temporary.open("w") as rows:
                    subprocess.run(
                        [*command, "--rows", str(rows.fileno())],
                        check=True,
                        pass_fds=[rows.fileno()],
                        stdout=sys.stderr,
                    )
                temporary.replace(file)


def curves(folder: Path) -> Iterator[Curve]:
    """Those in the files of `folder`, by name."""
    for file in sorted(folder.glob("*.csv")):
        name, size, seed = file.stem.rsplit("-", 2)
        with file.open() as rows:
            points = tuple((float(seconds), float(value)) for seconds, value in csv.reader(rows))
        yield Curve(name, int(size), int(seed), points)


def show(args: argparse.Namespace) -> None:
    """A row per contestant and size, the best first; the chart has the median seed of each."""
    groups = defaultdict(list)
    for curve in curves(args.folder):
        groups[curve.name, curve.size].append(curve)
    ranked = sorted(groups.values(), key=lambda some: -statistics.mean(one.best for one in some))
    print("| program | pixels | best validation accuracy, by seed | mean | epochs |")
    print("|---|---|---|---|---|")
    for some in ranked:
        by_seed = ", ".join(f"{one.best:.4f}" for one in some)
        mean = statistics.mean(one.best for one in some)
        epochs = ", ".join(str(len(one.points)) for one in some)
        print(f"| {some[0].name} | {some[0].size} | {by_seed} | {mean:.4f} | {epochs} |")
    if args.chart:
        draw(
            [sorted(some, key=lambda one: one.best)[len(some) // 2] for some in ranked], args.chart
        )


def draw(some: list[Curve], file: Path) -> None:
    """The best accuracy so far, over seconds."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 5.5), layout="constrained")
    axes = figure.subplots()
    for curve in some:
        best, xs, ys = 0.0, [], []
        for seconds, accuracy in curve.points:
            best = max(best, accuracy)
            xs.append(seconds)
            ys.append(best)
        ours = curve.name.startswith("kvgg")
        axes.step(
            xs,
            ys,
            where="post",
            label=f"{curve.name}, {curve.size} px",
            linewidth=2.5 if ours else 1.2,
            color="black" if ours else None,
            linestyle="--" if ours and curve.size != some[0].size else "-",
        )
    axes.set_xlabel("seconds since the start of the program")
    axes.set_ylabel("best validation accuracy so far")
    axes.legend(fontsize=8, loc="lower right")
    axes.grid(alpha=0.3)
    figure.savefig(file, dpi=120)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True)
    one = commands.add_parser("run")
    one.add_argument("photos", type=Path)
    one.add_argument("--out", type=Path, required=True)
    one.add_argument("--minutes", type=float, default=5)
    one.add_argument("--seeds", type=int, default=3)
    one.add_argument("--only", action="append", choices=CONTESTANTS)
    one.add_argument("--size", type=int, help="instead of the sizes of each contestant")
    one.set_defaults(call=run)
    other = commands.add_parser("show")
    other.add_argument("folder", type=Path)
    other.add_argument("--chart", type=Path)
    other.set_defaults(call=show)
    args = parser.parse_args()
    args.call(args)


if __name__ == "__main__":
    main()
