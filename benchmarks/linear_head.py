"""Does the solved head get out of the features what scikit-learn does? A Markdown table.

python benchmarks/linear_head.py ../shared/data/flowers --image-size 128 \\
    --weights ../shared/data/vgg16-imagenet/vgg16_notop.h5 --preprocessing caffe \\
    --per-class 10 50 200

For each seed, so many photos per class are drawn for training; all others are the test. Both get
the same features. scikit-learn is `StandardScaler` and `LogisticRegression` with the best C of
`np.logspace(-6, 4, 21)` by 5-fold cross-validation for accuracy. The features are kept in the cache
folder, so a second start, or one that was stopped, goes on from there.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from kvgg_jax import RunConfig
from kvgg_jax.cli.console import Screen
from kvgg_jax.core.events import Emit
from kvgg_jax.core.process import cache_folder
from kvgg_jax.data.sources.folder import scan
from kvgg_jax.models.build import build, variable_names
from kvgg_jax.models.functional import MOVING, STANDARD_EPSILON
from kvgg_jax.models.heads import LAST, STANDARDIZED
from kvgg_jax.training.inputs import complete_config, read_photos
from kvgg_jax.training.transfer.frozen_features import features
from kvgg_jax.training.transfer.initial_weights import load_initial_weights
from kvgg_jax.training.transfer.linear_head import Solution, solve

STRENGTHS = np.logspace(-6, 4, 21)
Features = NDArray[np.float32]
Labels = NDArray[np.int32]


def all_features(args: argparse.Namespace, emit: Emit) -> tuple[Features, Labels]:
    """Of all photos, as a run with a frozen backbone has them."""
    data = {"dir": str(args.photos), "image_size": args.image_size}
    model = {
        "weights": str(args.weights),
        "preprocessing": args.preprocessing,
        "freeze": "backbone",
        "pooled_stages": args.stages,
    }
    config = complete_config(RunConfig(data=data, model=model), emit)
    samples = scan(args.photos)
    decoded = read_photos(samples, config, emit)
    built = build(
        config.model,
        classes=len(samples.classes),
        image_size=args.image_size,
        precision="float32",
        seed=None,
    )
    initial = load_initial_weights(config, samples.classes, emit)
    assert initial is not None
    initial.assign(built.model)
    variables = built.model.variables
    weights = dict(zip(variable_names(variables), [v.value for v in variables], strict=True))
    found = features(config, decoded, (weights, {}), folder=cache_folder(), emit=emit)
    return found[np.arange(len(samples))], np.array(samples.labels, np.int32)


def accuracy_of(found: Solution, x: Features, y: Labels) -> float:
    """As the layers of the head compute it."""
    mean, variance = (found.weights[f"{STANDARDIZED}/{part}"] for part in MOVING)
    scaled = (x - mean) / np.sqrt(variance + STANDARD_EPSILON)
    logits = scaled @ found.weights[f"{LAST}/kernel"] + found.weights[f"{LAST}/bias"]
    return float((logits.argmax(axis=1) == y).mean())


def by_scikit_learn(x: Features, y: Labels, *, seed: int) -> GridSearchCV:
    """The reference, fitted."""
    head = make_pipeline(StandardScaler(), LogisticRegression(max_iter=10_000))
    folds = StratifiedKFold(5, shuffle=True, random_state=seed)
    with threadpool_limits(1):
        grid = {"logisticregression__C": STRENGTHS}
        return GridSearchCV(head, grid, cv=folds).fit(x.astype(np.float64), y)


def draw(labels: Labels, count: int, *, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows of `count` photos per class, and all other rows."""
    rng = np.random.default_rng(seed)
    groups = [rng.permutation(np.flatnonzero(labels == label)) for label in np.unique(labels)]
    train = np.concatenate([group[:count] for group in groups])
    return train, np.setdiff1d(np.arange(len(labels)), train)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--preprocessing", choices=("scale", "caffe"))
    parser.add_argument("--image-size", type=int, default=224)
    parser.add_argument("--stages", type=int, default=2)
    parser.add_argument("--per-class", type=int, nargs="+", default=[10, 50, 200])
    parser.add_argument("--seeds", type=int, default=3)
    args = parser.parse_args()
    with Screen() as screen:
        x, y = all_features(args, screen)
    print("| photos per class | seed | solved head | scikit-learn | C | its C | seconds |")
    print("|---|---|---|---|---|---|---|")
    for count in args.per_class:
        for seed in range(args.seeds):
            train, test = draw(y, count, seed=seed)
            started = time.perf_counter()
            ours = solve(x[train], y[train], classes=len(np.unique(y)), seed=seed)
            seconds = time.perf_counter() - started
            theirs = by_scikit_learn(x[train], y[train], seed=seed)
            scores = accuracy_of(ours, x[test], y[test]), float(theirs.score(x[test], y[test]))
            best = theirs.best_params_["logisticregression__C"]
            figures = " | ".join(f"{score:.4f}" for score in scores)
            strengths = f"{ours.strength:.2g} | {best:.2g}"
            print(f"| {count} | {seed} | {figures} | {strengths} | {seconds:.1f} |", flush=True)


if __name__ == "__main__":
    main()
