"""What the tests of evaluating share: an evaluation made by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from kvgg_jax.data.audit.color_baseline import ColorBaseline
from kvgg_jax.data.samples import Samples
from kvgg_jax.data.sources.folder import Folder
from kvgg_jax.evaluation.evaluate import make_evaluation
from kvgg_jax.evaluation.record import Evaluation
from support.runs import COLORS, draw_photos

NAMES = tuple(sorted(COLORS))
STATE = "1-0123456789abcdef"


def six_photos(folder: Path) -> Evaluation:
    """Two of each class; the second of each is called wrongly, and that of green the surest."""
    root = draw_photos(folder / "photos", per_class=2)
    (folder / "run").mkdir()
    labels = np.repeat(np.arange(3), 2)
    paths = tuple(path.relative_to(root).as_posix() for path in sorted(root.glob("*/*")))
    probabilities = np.array(
        [[8, 1, 1], [2, 5, 3], [1, 8, 1], [0, 1, 9], [1, 1, 8], [5, 1, 4]], np.float32
    ) / np.float32(10)
    return made(
        folder / "run", Samples(Folder(root), paths, tuple(labels.tolist()), NAMES), probabilities
    )


def made(run: Path, samples: Samples, probabilities: np.ndarray) -> Evaluation:
    """Of three classes; the loss is no matter."""
    return make_evaluation(
        samples,
        probabilities,
        NAMES,
        run=run,
        split="val",
        loss=1.0,
        state=STATE,
        calibration=None,
        color=ColorBaseline(class_mean=0.5, nearest=2 / 3, reference=12),
        trained_on=0,
    )


def all_right(result: Evaluation) -> Evaluation:
    """The same photos, called rightly with certainty."""
    right = np.eye(3, dtype=np.float32)[list(result.samples.labels)]
    return made(result.run, result.samples, right)
