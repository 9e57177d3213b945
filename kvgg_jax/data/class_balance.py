"""Classes with uneven numbers of photos: warnings, class weights and balanced sampling."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kvgg_jax.core.text import escape_name
from kvgg_jax.data.samples import Samples
from kvgg_jax.data.split import rows_by_label

UNEVEN = 2  # from this ratio of the largest to the smallest class on, a message says so


def class_weights(samples: Samples) -> NDArray[np.float32]:
    """The weight of a photo of each class, float32 [classes]: photos / (classes * photos of it).

    The mean over the photos is 1 (King & Zeng 2001). A class without photos does not count and has
    weight 0.
    """
    counts = count_per_class(samples)
    mean = counts.sum() / np.count_nonzero(counts)
    return np.where(counts > 0, mean / np.maximum(counts, 1), 0.0).astype(np.float32)


def draw_evenly(
    rows: NDArray[np.int64], labels: NDArray[np.int32], rng: np.random.Generator
) -> NDArray[np.int64]:
    """As many of `rows` as there are, each class equally often (to one), in random order.

    `labels` are the classes of `rows`. Within a class all rows come equally often (to one) too:
    those of a small class several times; of a large one some, and others in the next epoch.
    """
    classes = rows_by_label(labels)
    quota, over = divmod(len(rows), len(classes))
    drawn = [
        np.resize(rng.permutation(rows[classes[label]]), quota + (place < over))
        for place, label in enumerate(rng.permutation(len(classes)))
    ]
    return rng.permutation(np.concatenate(drawn))


def describe(samples: Samples, *, drawn_evenly: bool, weighted: bool) -> str | None:
    """One line about uneven classes and what is done about it; None where they are even enough."""
    counts = count_per_class(samples)
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


def missing_in_validation(val: Samples, how: str) -> str | None:
    """One line that names the classes without a validation photo; None where each has one.

    `how` they were split decides what to do about it.
    """
    names = [escape_name(val.classes[label]) for label in np.flatnonzero(count_per_class(val) == 0)]
    if not names:
        return None
    which = "it" if len(names) == 1 else "them"
    advice = "More photos of them, or a larger `data.val_split`, would help"
    if how == "keras":
        advice = "`data.split = stratified` gives each class its share"
    head = f"No validation photo of {', '.join(names)}"
    return f"{head}: the accuracy says nothing of {which}. {advice}"


def count_per_class(samples: Samples) -> NDArray[np.int64]:
    """Photos of each class, int64 [classes]."""
    return np.bincount(samples.labels, minlength=len(samples.classes))
