"""What are the folds of a cross-validation worth as one, and mirror images? A Markdown table.

kvgg crossval --recipe fast --data DIR --test-split 0.3 --image-size 32 --epochs 12 --name x.folds
kvgg calibrate --run x.folds/fold-1   # and so on
python benchmarks/ensemble.py runs/x.folds

On the test photos, which no fold has seen. For a fold alone it is the mean of the folds, with the
lowest and the highest. Calibrated figures are those of the folds that have a calibration; one
without has its own probabilities.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kvgg_jax.cli.console import Screen
from kvgg_jax.core.process import cache_folder
from kvgg_jax.data.reader import read
from kvgg_jax.evaluation.evaluate import measure_each
from kvgg_jax.evaluation.metrics import calibration_error, losses, reliability
from kvgg_jax.inference.classifier import calibrations_of, members_of
from kvgg_jax.inference.temperature import calibrated

Array = NDArray[np.floating]


def figures(true: NDArray[np.integer], shares: Array) -> Array:
    """Accuracy, loss in nats, calibration error."""
    right = shares.argmax(axis=1) == true
    error = calibration_error(reliability(true, shares))
    return np.array([right.mean(), losses(true, shares).mean(), error])


def cell(values: Array) -> str:
    """One value, or the mean of several with the lowest and the highest."""
    if len(values) == 1:
        return f"{values[0]:.4f}"
    return f"{values.mean():.4f} ({values.min():.4f} to {values.max():.4f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    args = parser.parse_args()
    with Screen() as screen:
        members = members_of(args.run, out=Path("runs"), emit=screen)
        first, calibrations = members[0], calibrations_of(members, raw=False, emit=screen)
        samples = first.run.split().test
        assert samples is not None, "made with --test-split"
        how = {"skip_bad": False, "cache": "auto", "folder": cache_folder(), "emit": screen}
        decoded = read(samples, first.image_size, first.resize, **how)
        batch = first.config.train.part_size
        views = measure_each(members, decoded, samples, batch, tta=True, emit=screen)
    true = np.array(samples.labels)
    raw = np.array([[shares for shares, _ in view] for view in views])  # [view, fold, count, class]
    fitted = np.array([list(map(calibrated, view, calibrations)) for view in raw])
    print(f"<!-- {len(true)} test photos; {sum(map(bool, calibrations))} folds are calibrated -->")
    print("| | accuracy | loss | calibration error | calibrated: loss | calibration error |")
    print("|---|---|---|---|---|---|")
    for name, choose in {
        "a fold alone": lambda shares: shares[0],
        "a fold alone, `--tta`": lambda shares: shares.mean(axis=0),
        "all folds": lambda shares: shares[:1].mean(axis=1),
        "all folds, `--tta`": lambda shares: shares.mean(axis=(0, 1))[None],
    }.items():
        own, its = (
            np.array([figures(true, one) for one in choose(shares)]) for shares in (raw, fitted)
        )
        cells = [cell(column) for column in (*own.T, *its.T[1:])]
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
