"""Classes with uneven numbers of photos: how uneven, and two ways to make them count alike."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kvgg_jax.core.text import escape_name
from kvgg_jax.data.folder import Samples

UNEVEN = 2  # times as many photos in the largest class as in the smallest, to be worth a word


def class_weights(samples: Samples) -> NDArray[np.float32]:
    """What a photo of each class counts, float32 [classes]: photos / (classes * photos of it).

    All classes then weigh alike, and the mean over the photos is 1 (King & Zeng 2001). A class
    without photos is left out, with weight 0.
    """
    counts = _counts(samples)
    present = np.count_nonzero(counts)
    share = counts.sum() / present
    return np.where(counts > 0, share / np.maximum(counts, 1), 0.0).astype(np.float32)


def draw_evenly(
    rows: NDArray[np.int64], labels: NDArray[np.int32], rng: np.random.Generator
) -> NDArray[np.int64]:
    """As many of `rows` as there are, each class equally often (to one), in random order.

    `labels` are the classes of `rows`. Within a class all come equally often (to one) too: those of
    a small one several times, of a large one some, and others in the next epoch.
    """
    classes = rng.permutation(np.unique(labels))
    quota, over = divmod(len(rows), len(classes))
    drawn = [
        np.resize(rng.permutation(rows[labels == label]), quota + (place < over))
        for place, label in enumerate(classes)
    ]
    return rng.permutation(np.concatenate(drawn))


def describe(samples: Samples, *, drawn_evenly: bool, weighted: bool) -> str | None:
    """One line about uneven classes and what is done about it; None where they are even enough."""
    counts = _counts(samples)
    few, many = int(counts.argmin()), int(counts.argmax())
    if counts[many] < UNEVEN * counts[few]:
        return None
    if drawn_evenly:
        done = "each class is drawn equally often"
    elif weighted:
        weights = class_weights(samples)
        done = f"a photo counts {weights[many]:.3g} to {weights[few]:.3g} times, by its class"
    else:
        done = "`data.balance = true` or `train.class_weight = balanced` makes them count alike"
    names = [escape_name(samples.classes[label]) for label in (few, many)]
    return (
        f"Uneven classes: {counts[few]} training photos of {names[0]}, {counts[many]} of "
        f"{names[1]}; {done}"
    )


def unjudged(val: Samples, how: str) -> str | None:
    """One line that names the classes without a validation photo; None where each has one.

    `how` they were dealt decides what to do about it.
    """
    names = [escape_name(val.classes[label]) for label in np.flatnonzero(_counts(val) == 0)]
    if not names:
        return None
    return (
        f"No validation photo of {', '.join(names)}: the accuracy says nothing of "
        f"{'it' if len(names) == 1 else 'them'}. "
        + (
            "`data.split = stratified` gives each class its share"
            if how == "keras"
            else "More photos of them, or a larger `data.val_split`, would give each some"
        )
    )


def _counts(samples: Samples) -> NDArray[np.int64]:
    return np.bincount(samples.labels, minlength=len(samples.classes))
