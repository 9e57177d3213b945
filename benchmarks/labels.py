"""Does choosing the photos to label by `predict --rank unsure` need fewer labels than chance?

python benchmarks/labels.py ../shared/data/flowers --image-size 64 --step 20 --most 400 \\
    --weights ../shared/data/vgg16-imagenet/vgg16_notop.h5 --preprocessing caffe --chart labels.png

Prints two Markdown tables. For each seed, a quarter of the photos is the test; of the others, 20
random ones have a label at first. A linear head (C = 0.01) is trained on the features of those of a
frozen backbone, then --step more photos get their label, and so on up to --most. How they are
chosen: at random; by the smallest margin between the two most probable classes; the farthest from
all that are labelled (k-center, Sener & Savarese 2018); and as `predict --rank unsure` ranks, which
is BADGE (Ash et al. 2020). The features are kept in the cache folder.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from kvgg_jax import RunConfig
from kvgg_jax.cli.console import Screen
from kvgg_jax.data.sources.folder import scan
from kvgg_jax.evaluation.label_audit.held_out import complete, compute_features
from kvgg_jax.inference.ranking import order

FIRST, STRENGTH, LEVELS = 20, 0.01, (0.9, 0.95, 1.0)
Points = NDArray[np.float64]
Rows = NDArray[np.int64]


class Pool(NamedTuple):
    """Photos without a label: what the head says, what it sees; and what those with one are."""

    probabilities: Points
    points: Points
    labelled: Points


def at_random(pool: Pool, count: int, rng: np.random.Generator) -> Rows:
    return rng.permutation(len(pool.points))[:count]


def smallest_margin(pool: Pool, count: int, rng: np.random.Generator) -> Rows:
    best = np.sort(pool.probabilities, axis=1)
    return np.argsort(best[:, -1] - best[:, -2], kind="stable")[:count]


def k_center(pool: Pool, count: int, rng: np.random.Generator) -> Rows:
    lengths = (pool.points**2).sum(axis=1)
    own = (pool.labelled**2).sum(axis=1)
    far = (lengths[:, None] + own - 2 * pool.points @ pool.labelled.T).min(axis=1)
    taken: list[int] = []
    for _ in range(count):
        row = int(far.argmax())
        taken.append(row)
        distance = lengths + lengths[row] - 2 * pool.points @ pool.points[row]
        far = np.minimum(far, np.maximum(distance, 0))
    return np.array(taken)


def rank(pool: Pool, count: int, rng: np.random.Generator) -> Rows:
    return order(pool.probabilities, pool.points.astype(np.float32), most=count)[:count]


Choose = Callable[[Pool, int, np.random.Generator], Rows]
CHOICES: dict[str, Choose] = {
    "random": at_random,
    "margin": smallest_margin,
    "k-center": k_center,
    "--rank unsure": rank,
}


def curve(
    x: Points, y: Rows, choose: Choose, *, step: int, most: int, seed: int
) -> list[tuple[int, float]]:
    """(labels, accuracy on the test) after each step."""
    rng = np.random.default_rng(seed)
    test, pool = np.split(rng.permutation(len(y)), [len(y) // 4])
    labelled, pool = pool[:FIRST], pool[FIRST:]
    found = []
    while True:
        scaler = StandardScaler().fit(x[labelled])
        head = LogisticRegression(C=STRENGTH, max_iter=1000)
        head.fit(scaler.transform(x[labelled]), y[labelled])
        right = head.predict(scaler.transform(x[test])) == y[test]
        found.append((len(labelled), float(right.mean())))
        count = min(step, most - len(labelled))
        if count <= 0:
            return found
        points = scaler.transform(x[pool])
        seen = Pool(head.predict_proba(points), points, scaler.transform(x[labelled]))
        rows = choose(seen, count, rng)
        labelled, pool = np.append(labelled, pool[rows]), np.delete(pool, rows)


def needed(curve: Points, labels: Rows, level: float) -> str:
    """Labels from which on the mean accuracy is `level`, on a line between two steps."""
    over = np.flatnonzero(curve >= level)
    if not len(over):
        return f"more than {labels[-1]}"
    after = over[0]
    if not after:
        return str(labels[0])
    share = (level - curve[after - 1]) / (curve[after] - curve[after - 1])
    return f"{labels[after - 1] + share * (labels[after] - labels[after - 1]):.0f}"


def draw(curves: dict[str, Points], labels: Rows, file: Path, title: str) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axes = figure.subplots()
    for name, found in curves.items():
        mean = found.mean(axis=0)
        (line,) = axes.plot(labels, mean, label=name, linewidth=2.4 if "--" in name else 1.4)
        if name in ("random", "--rank unsure"):
            ends = found.min(axis=0), found.max(axis=0)
            axes.fill_between(labels, *ends, color=line.get_color(), alpha=0.15, linewidth=0)
    axes.set(xlabel="labelled photos", ylabel="accuracy on other photos", title=title)
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(file, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--preprocessing", choices=("scale", "caffe"))
    parser.add_argument("--image-size", type=int, default=224)
    parser.add_argument("--step", type=int, default=20)
    parser.add_argument("--most", type=int, default=400)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--chart", type=Path)
    args = parser.parse_args()
    data = {"dir": str(args.photos), "image_size": args.image_size}
    model = {"weights": str(args.weights), "preprocessing": args.preprocessing}
    with Screen() as screen:
        config = complete(RunConfig(data=data, model=model), out=Path("runs"), emit=screen)
        features, samples, _ = compute_features(scan(args.photos), config, screen)
    x, y = features.astype(np.float64), np.array(samples.labels, np.int64)
    curves, labels = {}, np.zeros(0, np.int64)
    with threadpool_limits(1):
        for name, choose in CHOICES.items():
            found = [
                curve(x, y, choose, step=args.step, most=args.most, seed=seed)
                for seed in range(args.seeds)
            ]
            labels = np.array([count for count, _ in found[0]])
            curves[name] = np.array([[accuracy for _, accuracy in one] for one in found])
    shown = [k for k, count in enumerate(labels) if count in (20, 60, 100, 200, 300, 400)]
    print(f"| chosen by | {' | '.join(f'{labels[k]} labels' for k in shown)} |")
    print(f"|---|{'---|' * len(shown)}")
    for name, found in curves.items():
        cells = [f"{found[:, k].mean():.4f} ± {found[:, k].std(ddof=1):.4f}" for k in shown]
        print(f"| {name} | {' | '.join(cells)} |")
    top = curves["random"].mean(axis=0)[-1]
    print(f"\n| labels for | {' | '.join(f'{level * top:.4f}' for level in LEVELS)} |")
    print(f"|---|{'---|' * len(LEVELS)}")
    for name, found in curves.items():
        cells = [needed(found.mean(axis=0), labels, level * top) for level in LEVELS]
        print(f"| {name} | {' | '.join(cells)} |")
    if args.chart:
        title = f"{args.photos.name}, {args.seeds} seeds: mean, and range of two"
        draw(curves, labels, args.chart, title)


if __name__ == "__main__":
    main()
