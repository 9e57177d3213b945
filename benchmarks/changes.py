"""Does a change to a recipe help? A Markdown table.

python benchmarks/changes.py augmentation ../shared/data/flowers --train 60 --val 100
python benchmarks/changes.py precision ../shared/data/coffee --train 60 --val 50
python benchmarks/changes.py augmentation ../shared/data/flowers --time   # of a step
python benchmarks/changes.py resize ../shared/data/flowers --shapes 2 --train 60 --val 100

The recipe (`fast`, from random weights, unless --recipe names another) at --image-size, with one
change each. Each seed draws --train photos per class, and --val others to validate on: the same
ones for all changes. Accuracy is that of the last epoch, which is not chosen. Called again with the
same --out, it continues. --shapes R cuts a rectangle out of each photo, the largest of an aspect
ratio that is drawn for it between 1:R and R:1: photos that are not square, of square ones.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from kvgg_jax import RunConfig, resume, train
from kvgg_jax.core.config_file import resolve, with_values
from kvgg_jax.data.sources.folder import scan
from kvgg_jax.runs.folder import Run
from kvgg_jax.training.benchmark import bench

CONFIGS = Path(__file__).parents[1] / "configs"
CHANGES: dict[str, dict[str, dict[str, object]]] = {
    "augmentation": {
        "--augment none": {"data.augment": "none"},
        "none (the recipe)": {},
        "--crop 0.35": {"data.crop": 0.35},
        "--erase 0.25": {"data.erase": 0.25},
        "--crop 0.35 --erase 0.25": {"data.crop": 0.35, "data.erase": 0.25},
    },
    "resize": {f"--resize {way}": {"data.resize": way} for way in ("squash", "crop", "pad")},
    "precision": {
        "none (float32)": {},
        "--precision bfloat16": {"train.precision": "bfloat16"},
    },
}
TIMED = {"augmentation": {"--augment randaugment": {"data.augment": "randaugment"}}}


def link_some(source: Path, folder: Path, counts: dict[str, int], *, seed: int) -> Path:
    """`folder`/train and `folder`/val, with links to so many photos of each class of `source`."""
    samples, rng = scan(source), np.random.default_rng(seed)
    labels = np.array(samples.labels)
    for label, name in enumerate(samples.classes):
        rows = iter(rng.permutation(np.flatnonzero(labels == label)).tolist())
        for part, count in counts.items():
            into = folder / part / name
            into.mkdir(parents=True, exist_ok=True)
            for file in samples.take([next(rows) for _ in range(count)]).files():
                link = into / file.name
                link.is_symlink() or link.symlink_to(file.resolve())
    return folder


def cut_shapes(source: Path, folder: Path, most: float) -> Path:
    """`folder` with the photos of `source`, each cut to a ratio of its own, at a random place."""
    for file in scan(source).files():
        cut = folder / file.parent.name / f"{file.stem}.png"
        if cut.exists():
            continue
        cut.parent.mkdir(parents=True, exist_ok=True)
        rng = np.random.default_rng(list(file.stem.encode()))  # whatever other photos there are
        ratio, image = most ** rng.uniform(-1, 1), Image.open(file)
        width = round(min(image.width, image.height * ratio))
        height = round(min(image.height, image.width / ratio))
        left, top = rng.integers(0, (image.width - width + 1, image.height - height + 1)).tolist()
        image.crop((left, top, left + width, top + height)).save(cut)
    return folder


def recipe(args: argparse.Namespace, change: dict[str, object], *, seed: int = 0) -> RunConfig:
    """The recipe, with what was asked for and one change."""
    asked: dict[str, object] = {"data.image_size": args.image_size}
    if args.recipe == "fast":
        asked |= {"train.epochs": args.epochs, "train.patience": args.epochs}
    if args.weights:
        asked |= {"model.weights": str(args.weights), "model.preprocessing": "caffe"}
    config = resolve(CONFIGS / f"{args.recipe}.toml")
    return with_values(config, {"seed": seed, **asked, **change}, where="a change")


def accuracy(config: RunConfig, run: Run) -> tuple[float, float]:
    """Of the last epoch, on the photos for training and for validation."""
    if not run.exists:
        train(config, out=run.path.parent, name=run.path.name)
    elif not run.is_finished:
        resume(run.path)
    last = run.history().epochs[-1]
    return last.accuracy, last.val_accuracy


def print_accuracies(args: argparse.Namespace, out: Path) -> None:
    """A row per change, as soon as its runs are done."""
    source = cut_shapes(args.photos, out / "cut", args.shapes) if args.shapes else args.photos
    print("| change | validation accuracy, last epoch, by seed | mean | in training |")
    print("|---|---|---|---|")
    for number, (name, change) in enumerate(CHANGES[args.of].items()):
        found = []
        for seed in range(1, args.seeds + 1):
            counts = {"train": args.train, "val": args.val}
            photos = link_some(source, out / f"photos-{seed}", counts, seed=seed)
            config = recipe(args, change, seed=seed).with_data(dir=str(photos))
            found.append(accuracy(config, Run(out / f"run-{number}-{seed}")))
        training, val = zip(*found, strict=True)
        by_seed = ", ".join(f"{one:.4f}" for one in val)
        means = f"{statistics.mean(val):.4f} | {statistics.mean(training):.4f}"
        print(f"| {name} | {by_seed} | {means} |", flush=True)


def print_times(args: argparse.Namespace) -> None:
    """Seconds of a training step with each change, the least of the rounds, which take turns."""
    changes = CHANGES[args.of] | TIMED.get(args.of, {})
    configs = {name: recipe(args, change) for name, change in changes.items()}
    rounds = [
        {name: bench(config).train_step_seconds for name, config in configs.items()}
        for _ in range(args.seeds)
    ]
    print("| change | px | seconds per step |\n|---|---|---|")
    for name in changes:
        print(f"| {name} | {args.image_size} | {min(one[name] for one in rounds):.3f} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("of", choices=CHANGES)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--time", action="store_true")
    parser.add_argument("--image-size", type=int, default=64)
    parser.add_argument("--train", type=int, default=200)
    parser.add_argument("--val", type=int, default=200)
    parser.add_argument("--epochs", type=int, default=24)
    parser.add_argument("--seeds", type=int, default=3, help="with --time: rounds")
    parser.add_argument("--recipe", default="fast")
    parser.add_argument("--weights", type=Path, help="ImageNet's, in a file of Keras")
    parser.add_argument("--shapes", type=float, help="cut photos to aspect ratios up to this one")
    parser.add_argument("--out", type=Path, help="keep links and runs here")
    args = parser.parse_args()
    if args.time:
        print_times(args)
        return
    with tempfile.TemporaryDirectory() as scratch:
        print_accuracies(args, args.out or Path(scratch))


if __name__ == "__main__":
    main()
