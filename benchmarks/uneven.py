"""Class weights or balanced sampling where one class has few photos? A Markdown table.

python benchmarks/uneven.py ../shared/data/coffee --image-size 32 --out DIR

Each seed draws --train photos of every class but the last, --few of that one, and --test others of
each class. The recipe `fast` at --image-size is trained on the same photos in each way; a fifth of
them validates. The best epoch is that of the best balanced accuracy, but for one way. The figures
are balanced accuracy and the recall of the small class, on the test photos. p is that of Wilcoxon's
signed-rank test over the seeds. Called again with the same --out, it continues.
"""

from __future__ import annotations

import argparse
from itertools import combinations
from pathlib import Path

import numpy as np
from changes import link_some
from numpy.typing import NDArray
from scipy.stats import wilcoxon

from kvgg_jax import evaluate, resume, train
from kvgg_jax.cli.console import Screen
from kvgg_jax.core.config_file import resolve, with_values
from kvgg_jax.core.events import Emit
from kvgg_jax.runs.folder import Run

FAST = Path(__file__).parents[1] / "configs" / "fast.toml"
WAYS: dict[str, dict[str, object]] = {
    "neither": {},
    "weights": {"train.class_weight": "balanced"},
    "sampling": {"data.balance": True},
    "weights, by accuracy": {"train.class_weight": "balanced", "train.monitor": "accuracy"},
}


def draw(args: argparse.Namespace, seed: int) -> Path:
    """Links to the photos of one seed."""
    folder: Path = args.out / f"photos-{seed}"
    if not folder.exists():
        link_some(args.photos, folder, {"train": args.train, "test": args.test}, seed=seed)
        *_, small = sorted((folder / "train").iterdir())
        for link in sorted(small.iterdir())[args.few :]:
            link.unlink()
    return folder


def trained(args: argparse.Namespace, photos: Path, way: str, seed: int, emit: Emit) -> Run:
    """A run of one way, started or continued."""
    run = Run(args.out / f"{way.replace(', ', '-').replace(' ', '-')}-{seed}")
    if run.is_finished:
        return run
    if run.exists:
        return Run(resume(run.path, emit=emit).run)
    changes: dict[str, object] = {
        "seed": seed,
        "data.dir": str(photos / "train"),
        "data.image_size": args.image_size,
        "data.split": "stratified",
        "train.monitor": "balanced_accuracy",
        **WAYS[way],
    }
    config = with_values(resolve(FAST), changes, where="the benchmark")
    return Run(train(config, out=run.path.parent, name=run.path.name, emit=emit).run)


def row(args: argparse.Namespace, seed: int, emit: Emit) -> list[tuple[float, float]]:
    """Balanced accuracy, and recall of the small class, of each way."""
    photos, found = draw(args, seed), []
    for way in WAYS:
        run = trained(args, photos, way, seed, emit)
        result = evaluate(run.path, data=photos / "test", emit=emit)
        *_, small = result.classes.values()
        found.append((result.balanced_accuracy, small.recall))
    return found


def compared(scores: NDArray[np.float64]) -> str:
    """Balanced accuracies [seeds, ways] -> a line per pair of ways."""
    lines = []
    for (first, left), (second, right) in combinations(zip(WAYS, scores.T, strict=True), 2):
        test = wilcoxon(left, right) if (left != right).any() else None
        better = f"better with {(left > right).sum()} seeds, worse with {(left < right).sum()}"
        p = "1" if test is None else f"{test.pvalue:.2g}"
        lines.append(f"- {first} / {second}: {better}, p = {p}")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--image-size", type=int, default=48)
    parser.add_argument("--train", type=int, default=100)
    parser.add_argument("--few", type=int, default=10)
    parser.add_argument("--test", type=int, default=150)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--out", type=Path, required=True, help="links and runs are kept here")
    args = parser.parse_args()
    print(f"| seed | {' | '.join(WAYS)} |\n|{'---|' * (1 + len(WAYS))}")
    rows = []
    for seed in range(1, args.seeds + 1):
        with Screen() as screen:
            rows.append(row(args, seed, screen))
        cells = [f"{score:.3f}, {recall:.3f}" for score, recall in rows[-1]]
        print(f"| {seed} | {' | '.join(cells)} |", flush=True)
    means = np.mean(rows, axis=0)
    print(f"| mean | {' | '.join(f'{score:.3f}, {recall:.3f}' for score, recall in means)} |\n")
    print(compared(np.array(rows)[..., 0]))


if __name__ == "__main__":
    main()
