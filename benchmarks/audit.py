"""Does `audit` find wrong labels, and does moving the photos help? A Markdown table.

python benchmarks/audit.py ../shared/data/coffee --flip 0.05 --seeds 3 --image-size 96 \\
    --weights ../shared/data/vgg16-imagenet/vgg16_notop.h5 --preprocessing caffe

For each seed, so many of the labels are replaced by another class, at random. `audit` gets the
photos as a list with these labels. Precision: of the photos that it names, the share whose label
was replaced; recall: of those, the share that it names. A photo whose label was wrong before
counts as a mistake of the audit.

Accuracy is that of a linear head on the same features (C = 0.01), by 5-fold cross-validation: it is
trained on the labels as they were, as replaced, and after the moves, and always measured on the
labels as they were. Regained is the share of the lost accuracy that the moves bring back.

With --rules, other rules on the same probabilities are compared instead: the most probable class is
another one; confident learning (Northcutt, Jiang & Chuang 2021): the most probable of the classes
whose probability is at least the mean of those labelled so; ten times the label's probability
without calibration, and with it, as `audit` does.
"""

from __future__ import annotations

import argparse
import csv
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from kvgg_jax import RunConfig, audit
from kvgg_jax.cli.console import Screen
from kvgg_jax.core.events import Emit
from kvgg_jax.data.samples import Samples
from kvgg_jax.data.sources.folder import scan
from kvgg_jax.evaluation.label_audit.held_out import complete, compute_features
from kvgg_jax.evaluation.label_audit.label_issues import calibrate_on_labels, find_label_issues
from kvgg_jax.evaluation.label_audit.out_of_fold import predict_out_of_fold

FOLDS, STRENGTH = 5, 0.01
Labels = NDArray[np.int64]


def replace_labels(labels: Labels, share: float, classes: int, *, seed: int) -> Labels:
    """A copy of the labels with so many of them replaced by another class."""
    rng, found = np.random.default_rng(seed), labels.copy()
    rows = rng.choice(len(labels), round(share * len(labels)), replace=False)
    found[rows] = (labels[rows] + rng.integers(1, classes, len(rows))) % classes
    return found


def write_list(samples: Samples, labels: Labels, file: Path) -> None:
    """The photos with these labels, as `--data` takes them."""
    with file.open("w", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(("path", "label"))
        names = [samples.classes[label] for label in labels]
        writer.writerows(zip(samples.paths, names, strict=True))


def accuracy(features: NDArray[np.float32], trained: Labels, true: Labels) -> float:
    """Of a linear head on other photos than those that it was trained on."""
    right = np.zeros(len(true), bool)
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=0)
    with threadpool_limits(1):
        for train, held in folds.split(features, true):
            scaler = StandardScaler().fit(features[train])
            head = LogisticRegression(C=STRENGTH, max_iter=1000)
            head.fit(scaler.transform(features[train]), trained[train])
            right[held] = head.predict(scaler.transform(features[held])) == true[held]
    return float(right.mean())


def confident_learning(labels: Labels, probabilities: NDArray[np.float64]) -> NDArray[np.int64]:
    """Photos that count as another class than their label: off the confident joint's diagonal."""
    rows, classes = np.arange(len(labels)), probabilities.shape[1]
    own = np.bincount(labels, probabilities[rows, labels], minlength=classes)
    confident = probabilities >= own / np.bincount(labels, minlength=classes)
    best = np.where(confident, probabilities, -1).argmax(axis=1)
    return np.flatnonzero(confident.any(axis=1) & (best != labels))


def compare_rules(
    args: argparse.Namespace, config: RunConfig, samples: Samples, seed: int, emit: Emit
) -> str:
    """Rows of one draw of replaced labels."""
    features, _, _ = compute_features(samples, complete(config, out=Path("runs"), emit=emit), emit)
    true = np.array(samples.labels, np.int64)
    given = replace_labels(true, args.flip, len(samples.classes), seed=seed)
    groups = np.arange(len(true))
    raw, _ = predict_out_of_fold(features, given, groups, seed=config.seed, emit=emit)
    rules = {
        "most probable class": np.flatnonzero(raw.argmax(axis=1) != given),
        "confident learning": confident_learning(given, raw),
        "odds": find_label_issues(given, raw),
        "odds, calibrated": find_label_issues(given, calibrate_on_labels(given, raw)),
    }
    wrong = given != true
    return "\n".join(
        f"| {seed} | {name} | {len(named)} | {wrong[named].mean() if len(named) else 1:.3f} | "
        f"{wrong[named].sum() / wrong.sum():.3f} |"
        for name, named in rules.items()
    )


def row(
    args: argparse.Namespace, config: RunConfig, samples: Samples, seed: int, emit: Emit
) -> str:
    """One draw of replaced labels."""
    true = np.array(samples.labels, np.int64)
    given = replace_labels(true, args.flip, len(samples.classes), seed=seed)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "labels.csv")
        write_list(samples, given, file)
        found = audit(file, config=config.with_data(root=str(args.photos)), emit=emit)
    named = [samples.paths.index(issue.path) for issue in found.issues]
    moved = given.copy()
    for place, issue in zip(named, found.issues, strict=True):
        moved[place] = samples.classes.index(issue.suggested)
    wrong = given != true
    precision = wrong[named].mean() if named else float("nan")
    recall = wrong[named].sum() / max(wrong.sum(), 1)
    figures = f"{wrong.sum()} | {len(named)} | {precision:.3f} | {recall:.3f}"
    features, _, _ = compute_features(samples, complete(config, out=Path("runs"), emit=emit), emit)
    clean, before, after = (accuracy(features, labels, true) for labels in (true, given, moved))
    regained = (after - before) / (clean - before) if clean > before else float("nan")
    return f"| {seed} | {figures} | {clean:.4f} | {before:.4f} | {after:.4f} | {regained:.0%} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--flip", type=float, default=0.05, help="share of labels to replace")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--image-size", type=int, default=96)
    parser.add_argument("--weights", default="imagenet")
    parser.add_argument("--preprocessing", choices=("scale", "caffe"))
    parser.add_argument("--rules", action="store_true", help="compare rules instead")
    args = parser.parse_args()
    args.photos = args.photos.absolute()
    samples = scan(args.photos)
    model = {"weights": args.weights, "preprocessing": args.preprocessing, "freeze": "backbone"}
    data = {"dir": str(args.photos), "image_size": args.image_size}
    config = RunConfig(data=data, model=model)
    columns = ("seed", "replaced", "named", "precision", "recall")
    columns += ("accuracy", "replaced", "moved", "regained")
    columns = ("seed", "rule", "named", "precision", "recall") if args.rules else columns
    print(f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}")
    for seed in range(args.seeds):
        with Screen() as screen:
            lines = (compare_rules if args.rules else row)(args, config, samples, seed, screen)
        print(lines, flush=True)


if __name__ == "__main__":
    main()
