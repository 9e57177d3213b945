"""`explain`: which parts of an image count for a class. It never loads TensorFlow or Keras."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kvgg_jax.core.errors import ImageError, RunError
from kvgg_jax.core.events import Emit, Progress, ignore
from kvgg_jax.core.places import Place
from kvgg_jax.core.state import empty_batch
from kvgg_jax.core.text import escape_name
from kvgg_jax.data.decode.image import Read, load_bytes, read_file
from kvgg_jax.inference import neighbors
from kvgg_jax.inference.classifier import Classifier, load_classifier, predict_each
from kvgg_jax.inference.gradients import cell_size, make_grad_cam_step, make_gradient_step
from kvgg_jax.inference.heatmap import spread
from kvgg_jax.inference.neighbors import Neighbor
from kvgg_jax.inference.prediction import Prediction
from kvgg_jax.models.compile import compile_step
from kvgg_jax.runs import catalog

STEPS = 32  # points on the way from each baseline; on coffee photos their sum is right to 2 %
CHUNK = 8  # points whose gradients are computed at once


_Attribute = Callable[[NDArray[np.uint8], int], tuple[NDArray[np.float32], float | None]]
"""(image, class) -> (a map [size, size], what its sum should be where that is known)."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """What in one image counts for class `label`; no arrays where `prediction` is an error."""

    prediction: Prediction
    label: str
    method: str
    image: NDArray[np.uint8] | None = None
    """[size, size, 3], as the network sees it."""
    heat: NDArray[np.float32] | None = None
    """[size, size]. Grad-CAM: 0 or more. Integrated gradients: the share of each pixel in the
    class's logit, negative where it speaks against."""
    expected_sum: float | None = None
    """Integrated gradients: by how much the class's logit exceeds its mean over the baselines,
    which the sum of `heat` would be with endless steps."""
    neighbors: tuple[Neighbor, ...] = ()
    """The training photos most like it, if they were asked for, the most similar one first."""

    @property
    def path(self) -> Place:
        """The file."""
        return self.prediction.path

    @property
    def probability(self) -> float:
        """Of `label`, in [0, 1]."""
        return dict(self.prediction.top)[self.label]


def explain(
    paths: Iterable[str | Place] | str | Path,
    run: str | Path | Classifier | None = None,
    *,
    method: str = "grad-cam",
    target: str | None = None,
    similar: int = 0,
    read: Read = read_file,
    out: str | Path = catalog.OUT,
    emit: Emit = ignore,
) -> Iterator[Explanation]:
    """Explain files, and the images in folders, by the best weights of a run, one by one.

    `method` is one of `METHODS`; `target` a class, None for the one predicted for each image;
    `similar` the number of training photos to name that are most like each, as
    `neighbors.similar` finds them; `read` gives the content of a file.

    - "grad-cam": where the last block's features speak for the class (Selvaraju et al. 2017),
      as fine as these: a sixteenth of the image's side.
    - "integrated-gradients": the share of each pixel, as the image comes out of black and out of
      white, halved (Sundararajan et al. 2017; the two baselines after Kapishnikov et al. 2019,
      since from black alone a dark pixel could never contribute).

    The predictions are those of `predict`, a file that cannot be read included.
    Raises RunError for the run or an unknown class, DataError when there is nothing to explain,
    ValueError for another method or a negative number.
    """
    if method not in METHODS:
        raise ValueError(f"method {method!r}: use one of {', '.join(METHODS)}")
    classifier = run if isinstance(run, Classifier) else load_classifier(run, out=out, emit=emit)
    if target is not None and target not in classifier.classes:
        raise RunError(
            f"{classifier.run.path} does not know the class {escape_name(target)}. "
            f"It knows: {', '.join(map(escape_name, classifier.classes))}."
        )
    if similar:
        how: Any = {"count": similar, "read": read, "emit": emit}
        found = list(neighbors.similar(paths, classifier, **how))
    else:
        predictions = predict_each(paths, classifier, read=read, emit=emit)
        found = [neighbors.Similar(one) for one in predictions]
    return _each(found, classifier, method, target, read, emit)


def _each(
    found: list[neighbors.Similar],
    classifier: Classifier,
    method: str,
    target: str | None,
    read: Read,
    emit: Emit,
) -> Iterator[Explanation]:
    attribute = METHODS[method](classifier, emit)
    for done, (one, near) in enumerate((each.prediction, each.neighbors) for each in found):
        emit(Progress("explaining", done, len(found)))
        try:
            label = target or one.label
            content, size = read(one.path), classifier.image_size
            image = load_bytes(content, size, classifier.resize, name=str(one.path))
        except ImageError as error:
            yield Explanation(Prediction(one.path, error=str(error)), target or "", method)
            continue
        heat, expected = attribute(image, classifier.classes.index(label))
        yield Explanation(one, label, method, image, heat, expected, near)


def _grad_cam(classifier: Classifier, emit: Emit) -> _Attribute:
    size = classifier.image_size
    example = (empty_batch(1, size).images, np.array(0, np.int32))
    config = classifier.config
    function = make_grad_cam_step(config.model, precision=config.train.precision)
    step = compile_step("Grad-CAM", function, *classifier.weights, *example, emit=emit)

    def attribute(image: NDArray[np.uint8], target: int) -> tuple[NDArray[np.float32], None]:
        _, heat, _ = step(*classifier.weights, image[None], np.array(target, np.int32))
        return spread(np.asarray(heat)[0], size, cell=cell_size(config.model)), None

    return attribute


def _integrated_gradients(classifier: Classifier, emit: Emit) -> _Attribute:
    size = classifier.image_size
    example = (np.zeros((CHUNK, size, size, 3), np.float32), np.array(0, np.int32))
    config = classifier.config
    function = make_gradient_step(config.model, precision=config.train.precision)
    step = compile_step("gradient", function, *classifier.weights, *example, emit=emit)
    shares = ((np.arange(STEPS, dtype=np.float32) + 0.5) / STEPS).reshape(-1, CHUNK, 1, 1, 1)

    def attribute(image: NDArray[np.uint8], target: int) -> tuple[NDArray[np.float32], float]:
        def gradients(points: NDArray[np.float32]) -> tuple[NDArray[np.float32], ...]:
            logits, slopes = step(*classifier.weights, points, np.array(target, np.int32))
            return np.asarray(logits), np.asarray(slopes)

        end = image.astype(np.float32) / 255
        total = np.zeros(end.shape, np.float64)
        for start in (0.0, 1.0):  # black, white
            way = end - start
            for chunk in shares:  # the midpoint rule
                _, slopes = gradients(start + chunk * way)
                total += way * slopes.sum(axis=0, dtype=np.float64) / (2 * STEPS)
        ends = np.zeros_like(example[0])
        ends[0], ends[2] = end, 1.0
        (own, black, white, *_), _ = gradients(ends)
        return total.sum(axis=-1).astype(np.float32), float(own - (black + white) / 2)

    return attribute


METHODS: dict[str, Callable[[Classifier, Emit], _Attribute]] = {
    "grad-cam": _grad_cam,
    "integrated-gradients": _integrated_gradients,
}
"""Name -> how to make its heatmaps for a classifier."""
