"""Which photos come first to be labelled."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from kvgg_jax import predict, rank_unsure
from kvgg_jax.core.errors import RunError, UsageError
from kvgg_jax.inference.ranking import doubts, order
from support.runs import Trained

pytestmark = pytest.mark.usefixtures("thin_network")


def test_an_unsure_photo_comes_before_a_sure_one() -> None:
    """The least sure one is first; those that the network is certain of are last."""
    probabilities = np.array([[1, 0], [0.6, 0.4], [0.8, 0.2], [0, 1]])
    assert order(probabilities, np.eye(4, dtype=np.float32)).tolist() == [1, 2, 0, 3]


def test_of_photos_alike_one_comes_early() -> None:
    """Though the network is as unsure of the others; the order is the same each time."""
    probabilities = np.array([[0.5, 0.5]] * 5 + [[0.7, 0.3], [0.9, 0.1]])
    vectors = np.array([[1, 0, 0]] * 5 + [[0, 1, 0], [0, 0, 1]], np.float32)
    found = order(probabilities, vectors).tolist()
    assert (found[0], sorted(found[1:3]), found[3:]) == (0, [5, 6], [1, 2, 3, 4])
    assert order(probabilities, vectors).tolist() == found


def test_after_the_most_the_others_follow_by_their_distance() -> None:
    """So a large folder takes no longer than it must, and each photo comes once."""
    rng = np.random.default_rng(0)
    shares = rng.dirichlet([1, 1, 1], 30)
    vectors = rng.normal(size=(30, 4)).astype(np.float32)
    whole, cut = order(shares, vectors), order(shares, vectors, most=5)
    assert sorted(whole) == sorted(cut) == list(range(30))
    assert whole[:5].tolist() == cut[:5].tolist()


def test_doubt_is_the_gradient_of_the_most_probable_class() -> None:
    """Zero where the network is certain."""
    found = doubts(np.array([[0, 1, 0], [0.2, 0.3, 0.5]]))
    np.testing.assert_allclose(found, [[0, 0, 0], [0.2, 0.3, -0.5]])


def test_photos_are_ranked_with_the_predictions_of_predict(
    trained: Trained, tmp_path: Path
) -> None:
    """Each photo once, a copy not beside it; what cannot be read comes last, with its error."""
    photos = sorted(trained.photos.glob("*/*_0[0-3].png"))
    copy, bad = tmp_path / "copy.png", tmp_path / "bad.png"
    first = rank_unsure(photos, trained.run)[0]
    shutil.copy(str(first.path), copy)
    bad.write_text("no image")
    found = rank_unsure([bad, *photos, copy], trained.run)
    assert [found[0].path, found[-1].path] == [first.path, bad]
    assert found[-2].path == copy
    assert found[-1].error == f"{bad}: is text, not an image. Replace or remove it."
    expected = {one.path: one for one in predict([*photos, copy], trained.run)}
    assert {one.path for one in found[:-1]} == set(expected)
    for one in found[:-1]:
        assert dict(one.top) == pytest.approx(dict(expected[one.path].top), abs=1e-5)
    assert [one.path for one in rank_unsure([bad], trained.run)] == [bad]


def test_what_has_no_vectors_of_its_own_is_refused(folds: Path) -> None:
    """An ONNX file, and the folds of a cross-validation."""
    with pytest.raises(UsageError) as caught:
        rank_unsure("x.png", "model.onnx")
    text = "--rank needs a run, and model.onnx does not say what its last layer gets."
    assert str(caught.value) == text
    with pytest.raises(RunError, match=f"{folds} is a cross-validation, and only predict"):
        rank_unsure(folds, folds)
