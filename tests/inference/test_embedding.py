"""Photos as the last layer gets them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from kvgg_jax import embed, load_classifier, predict
from kvgg_jax.core.tables.model import ModelConfig
from kvgg_jax.models.functional import make_embed_step, weight_shapes
from support.runs import Trained

pytestmark = pytest.mark.usefixtures("thin_network")


def test_the_last_layer_makes_the_prediction_of_the_vector(trained: Trained) -> None:
    """Its weights by the vector, and softmax, are the probabilities of `predict`."""
    files = sorted(trained.photos.glob("*/*"))[::9]
    classifier = load_classifier(trained.run)
    found = list(embed(files, classifier))
    assert [one.prediction for one in found] == predict(files, classifier)
    weights = classifier.weights[0]
    vectors = np.stack([one.vector for one in found if one.vector is not None])
    logits = vectors @ weights["predictions/kernel"] + weights["predictions/bias"]
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares /= shares.sum(axis=1, keepdims=True)
    for one, row in zip(found, shares, strict=True):
        own = dict(one.prediction.top)
        assert [own[name] for name in classifier.classes] == pytest.approx(row.tolist(), abs=1e-5)


def test_a_file_that_cannot_be_read_has_no_vector(trained: Trained, tmp_path: Path) -> None:
    bad = tmp_path / "bad.png"
    bad.write_text("no image")
    good = next(trained.photos.glob("*/*"))
    first, second = embed([bad, good], trained.run)
    assert (first.vector, first.prediction.error) == (
        None,
        f"{bad}: is text, not an image. Replace or remove it.",
    )
    assert second.path == good
    assert second.vector is not None


@pytest.mark.parametrize(("head", "width"), [("gap", 64), ("16,8", 8), ("linear", 2 * (64 + 64))])
def test_the_width_is_that_of_the_last_hidden_layer(head: str, width: int) -> None:
    config = ModelConfig(arch="vgg11", head=head, pooled_stages=2 if head == "linear" else 1)
    shapes = weight_shapes(config, classes=3, image_size=32)
    weights = [{k: np.zeros(v.shape, v.dtype) for k, v in part.items()} for part in shapes]
    images = np.zeros((2, 32, 32, 3), np.uint8)
    vectors, probabilities = make_embed_step(config)(*weights, images)
    assert (vectors.shape, vectors.dtype, probabilities.shape) == ((2, width), "float32", (2, 3))
