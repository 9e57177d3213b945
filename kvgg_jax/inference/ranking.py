"""`rank_unsure`: which photos are most worth a label, by what a network makes of them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kvgg_jax.core.errors import UsageError
from kvgg_jax.core.events import Emit, Progress, ignore
from kvgg_jax.core.places import Place
from kvgg_jax.data.decode.image import Read, read_file
from kvgg_jax.inference import onnx_session
from kvgg_jax.inference.classifier import Classifier, classifier_of
from kvgg_jax.inference.embedding import make_embedder
from kvgg_jax.inference.prediction import Prediction, Probabilities, find_files
from kvgg_jax.runs import catalog

MOST = 1000  # photos that are compared with all others
SEED = 0  # of the draw
STEP = 100  # photos between two reports of progress


def rank_unsure(
    paths: Iterable[str | Place] | str | Path,
    run: str | Path | Classifier | None = None,
    *,
    raw: bool = False,
    unsure_below: float | None = None,
    unknown_below: float | None = None,
    batch_size: int | None = None,
    read: Read = read_file,
    out: str | Path = catalog.OUT,
    emit: Emit = ignore,
) -> list[Prediction]:
    """Predict files, and the images in folders: the one that is most worth a label comes first.

    Those come first that the network is unsure of and that differ from each other, as `order` has
    it; files that cannot be read come last. Other arguments and errors are those of `predict`, but
    `run` is one run: neither an ONNX file, which is a UsageError, nor a cross-validation.
    """
    if onnx_session.is_onnx(run):
        raise UsageError(f"--rank needs a run, and {run} does not say what its last layer gets.")
    files, classifier = find_files(paths), classifier_of(run, out=out, emit=emit)
    embed_files = make_embedder(
        classifier,
        batch=classifier.batch(len(files), batch_size),
        raw=raw,
        unsure_below=unsure_below,
        unknown_below=unknown_below,
        emit=emit,
    )
    found = list(embed_files(files, read))
    good = [one for one in found if one.vector is not None]
    bad = [one.prediction for one in found if one.vector is None]
    if not good:
        return bad
    shares = [dict(one.prediction.top) for one in good]
    rows = [[its[name] for name in classifier.classes] for its in shares]
    vectors = np.stack([one.vector for one in good if one.vector is not None])
    ranked = order(np.array(rows), vectors, emit=emit)
    return [*(good[row].prediction for row in ranked), *bad]


def order(
    probabilities: Probabilities,
    vectors: NDArray[np.float32],
    *,
    most: int = MOST,
    emit: Emit = ignore,
) -> NDArray[np.int64]:
    """Rows of photos, the one most worth a label first: [count].

    BADGE (Ash et al. 2020): each photo stands for the gradient that its most probable class, taken
    for its label, would have at the last layer: (probabilities - that class) x what the layer gets,
    `vectors` [count, width]. It is long where the network is unsure. The longest one comes first;
    each next is drawn, with a fixed seed, by its squared distance to the nearest of those before
    it (as k-means++ does, Arthur & Vassilvitskii 2007), so of a series of photos alike one comes
    early. After `most` photos, the others follow by that distance.
    """
    doubt, rng = doubts(probabilities), np.random.default_rng(SEED)
    lengths = (doubt**2).sum(axis=1) * (vectors.astype(np.float64) ** 2).sum(axis=1)
    far, row = np.full(len(lengths), np.inf), int(lengths.argmax())
    taken: list[int] = []
    for place in range(min(most, len(lengths))):
        taken.append(row)
        products = (doubt @ doubt[row]) * (vectors @ vectors[row])
        far = np.minimum(far, np.maximum(lengths + lengths[row] - 2 * products, 0))
        far[row] = 0
        sums = far.cumsum()
        if sums[-1] == 0:  # the others are copies of these, or certain
            break
        row = int(np.searchsorted(sums, rng.random() * sums[-1], side="right"))
        if place % STEP == 0:
            emit(Progress("ranking", place, min(most, len(lengths))))
    left = np.setdiff1d(np.arange(len(lengths)), taken)
    return np.append(taken, left[np.argsort(-far[left], kind="stable")]).astype(np.int64)


def doubts(probabilities: Probabilities) -> NDArray[np.float64]:
    """The gradient of each photo's loss by its logits, if its most probable class were right."""
    found = probabilities.astype(np.float64)
    found[np.arange(len(found)), probabilities.argmax(axis=1)] -= 1
    return found
