"""How unlike the known photos a photo is: what makes a prediction `unknown`.

The distance is that of Lee, Lee, Lee & Shin 2018, "A Simple Unified Framework for Detecting
Out-of-Distribution Samples and Adversarial Attacks", equation 2: the Mahalanobis distance of what
the last layer takes to the nearest class mean of the training photos, with one covariance for all
classes, here in their principal components. The share of the validation photos that are as far
makes a number of it that means the same for every network.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from shlex import quote

import numpy as np
from numpy.typing import NDArray

from kvgg_jax.core.errors import RunError
from kvgg_jax.core.events import Emit, Warned
from kvgg_jax.core.text import escape_name
from kvgg_jax.data.samples import Samples
from kvgg_jax.data.split import Split
from kvgg_jax.inference.prediction import Outputs, Probabilities, Typicality
from kvgg_jax.runs.arrays import Arrays, read_arrays, write_arrays
from kvgg_jax.runs.folder import Run

FILE = "known.npz"  # in the run folder
UNKNOWN_BELOW = 0.05
"""Of the typicality, where a run is given no threshold: so few validation photos are unknown."""
COMPONENTS = 32  # at most; docs/evaluation.md has others
PHOTOS = 2000  # of each part, at most, evenly spread
RIDGE = 1e-3  # of the mean variance, added to each
SMALL = 1e-6  # in place of a deviation of 0

Vectors = NDArray[np.float32]
Embed = Callable[[Sequence[Samples]], Sequence[Vectors]]
"""Parts of the photos of a run -> the embeddings of each part, [count, width]."""


@dataclass(frozen=True)
class KnownPhotos:
    """The photos that a run knows, as far as other photos are compared with them."""

    kernel: Vectors
    """[width, components]: embedding @ kernel + bias has a covariance of 1 within each class."""
    bias: Vectors
    means: Vectors
    """Of each class there, [classes, components]."""
    distances: Vectors
    """Of the validation photos, ascending: [count]."""

    def distance(self, embeddings: Vectors) -> Vectors:
        """[batch, width] -> to the nearest class, [batch]."""
        found = embeddings @ self.kernel + self.bias
        squares = ((found[:, None] - self.means) ** 2).sum(axis=-1)
        return np.asarray(np.sqrt(squares.min(axis=1)), np.float32)

    def farthest(self, unknown_below: float = UNKNOWN_BELOW) -> float | None:
        """The distance beyond which a photo is unknown; None where none is, for too few photos."""
        typicality = Typicality(self.distances, unknown_below)
        known = [float(one) for one in self.distances if typicality.of(one) >= unknown_below]
        is_possible = typicality.of(np.inf) < unknown_below
        return max(known, default=-1.0) if is_possible else None


def fit(vectors: Vectors, labels: NDArray[np.integer], others: Vectors) -> KnownPhotos:
    """From embeddings of training photos [count, width] and their classes, and of `others`, which
    training did not see."""
    from sklearn.decomposition import PCA

    x = vectors.astype(np.float64)
    center, scale = x.mean(axis=0), x.std(axis=0) + SMALL
    x = (x - center) / scale
    axes = PCA(min(COMPONENTS, *x.shape), random_state=0).fit(x).components_.T
    x = x @ axes
    classes, of = np.unique(labels, return_inverse=True)
    means = np.stack([x[of == k].mean(axis=0) for k in range(len(classes))])
    covariance = np.cov(x - means[of], rowvar=False, bias=True).reshape(x.shape[1], -1)
    ridge = RIDGE * covariance.trace() / len(covariance) + SMALL
    covariance += ridge * np.eye(len(covariance))
    whiten = np.linalg.inv(np.linalg.cholesky(covariance)).T
    turn = axes @ whiten / scale[:, None]
    parts = turn, -center @ turn, means @ whiten
    kernel, bias, means = (np.asarray(part, np.float32) for part in parts)
    found = KnownPhotos(kernel, bias, means, np.zeros(0, np.float32))
    return replace(found, distances=np.sort(found.distance(others)))


def keep(run: Run, state: str, split: Split, embed: Embed, emit: Emit) -> KnownPhotos | None:
    """Fit them to the weights `state` of a run, and keep that in its folder.

    None, and a Warned event, where the embeddings are no numbers. Raises RunError where it cannot
    write.
    """
    train, val = map(_some, (split.train, split.val))
    vectors, others = embed([train, val])
    if not (np.isfinite(vectors).all() and np.isfinite(others).all()):
        emit(Warned(f"{run.path}: no photo will be unknown, as its best weights give no numbers"))
        return None
    known = fit(vectors, np.array(train.labels), others)
    arrays = {field.name: getattr(known, field.name) for field in fields(known)}
    write_arrays(run.path / FILE, state, arrays)
    return known


def _some(samples: Samples) -> Samples:
    """At most `PHOTOS` of them, evenly spread: they may be sorted by class."""
    count = len(samples)
    rows = np.linspace(0, count - 1, min(PHOTOS, count)).astype(int)
    return samples.take(rows.tolist())


def current(run: Run, state: str, emit: Emit) -> KnownPhotos | None:
    """Those of a run; where they are of other weights than `state`, None and a Warned event.

    None for a run from before there were any. Raises RunError for a damaged file.
    """
    file = run.path / FILE
    kept = read_arrays(file, _built, again=_again(run))
    if kept is None:
        return None
    of, known = kept
    if of == state:
        return known
    text = f"{escape_name(file)} was fitted to other weights than the run's best ones now; not used"
    emit(Warned(f"{text}. {_again(run)}"))
    return None


def read_by(
    distances: NDArray[np.floating] | None, unknown_below: float | None, *, otherwise: str
) -> Typicality | None:
    """How distances are read, at a threshold or else `UNKNOWN_BELOW`; None where there are none.

    Then a threshold is a RunError, `otherwise`.
    """
    if distances is not None:
        return Typicality(distances, UNKNOWN_BELOW if unknown_below is None else unknown_below)
    if unknown_below is not None:
        raise RunError(otherwise)
    return None


def with_distances(
    probabilities: Probabilities, embeddings: Vectors, known: KnownPhotos | None
) -> Outputs:
    """Probabilities, and the distances of the embeddings from `known` photos, if there are any."""
    return Outputs(probabilities, None if known is None else known.distance(embeddings))


def lacks(run: Run) -> str:
    """That a run has kept none, as runs from before there were any."""
    path = quote(str(run.path))
    return (
        f"{run.path} has no {FILE}, which tells unknown photos. Fit it: kvgg calibrate --run {path}"
    )


def _built(kept: Arrays) -> KnownPhotos:
    """Of arrays such as `fit` makes. Raises KeyError and ValueError for others."""
    known = KnownPhotos(*(kept[field.name] for field in fields(KnownPhotos)))
    if not _fits(known):
        raise ValueError
    return known


def _fits(known: KnownPhotos) -> bool:
    """Whether shapes and values are such as `fit` makes."""
    arrays = [getattr(known, field.name) for field in fields(known)]
    if [array.ndim for array in arrays] != [2, 1, 2, 1] or not len(known.distances):
        return False
    same = known.kernel.shape[1] == len(known.bias) == known.means.shape[1]
    return same and all(a.dtype == np.float32 and np.isfinite(a).all() for a in arrays)


def _again(run: Run) -> str:
    return f"Fit it again: kvgg calibrate --run {quote(str(run.path))}"
