"""Probabilities from the features and the labels of other photos."""

from __future__ import annotations

import numpy as np

from kvgg_jax.core.events import Event, Progress
from kvgg_jax.evaluation.label_audit.label_issues import calibrate_on_labels, find_label_issues
from kvgg_jax.evaluation.label_audit.out_of_fold import BLOCK, predict_out_of_fold

COUNT = 600  # more than one block
ALONE = np.arange(COUNT)


def clouds() -> tuple[np.ndarray, np.ndarray]:
    """Features of three clouds of points that overlap a little, and the cloud of each."""
    rng = np.random.default_rng(0)
    labels = ALONE % 3
    return (rng.normal(size=(COUNT, 8)) + 4 * np.eye(8)[labels]).astype(np.float32), labels


def test_each_row_holds_probabilities_and_most_are_right() -> None:
    """Of more photos than are compared at once."""
    features, labels = clouds()
    assert COUNT > BLOCK
    probabilities, distances = predict_out_of_fold(features, labels, ALONE, seed=0)
    assert (probabilities.shape, distances.shape) == ((COUNT, 3), (COUNT,))
    assert np.allclose(probabilities.sum(axis=1), 1)
    assert (probabilities.argmax(axis=1) == labels).mean() > 0.98
    assert (distances > 0).all()


def test_wrong_labels_are_found() -> None:
    """Most of one in twenty, and hardly another."""
    features, labels = clouds()
    given = np.where(ALONE % 20 == 0, (labels + 1) % 3, labels)
    probabilities, _ = predict_out_of_fold(features, given, ALONE, seed=0)
    named = find_label_issues(given, calibrate_on_labels(given, probabilities))
    wrong = {*range(0, COUNT, 20)}
    assert len(wrong & {*named.tolist()}) >= 20
    assert len(named) <= 22


def test_a_photo_does_not_vote_for_its_own_label_nor_do_its_duplicates() -> None:
    """Twenty copies with one wrong label are named all the same, if they are known as copies."""
    features, labels = clouds()
    features[:20] = features[0]
    given = labels.copy()
    given[:20] = 1  # of class 0
    found = {}
    for name, groups in (("alone", ALONE), ("grouped", np.where(ALONE < 20, 0, ALONE))):
        probabilities, _ = predict_out_of_fold(features, given, groups, seed=0)
        found[name] = probabilities[:20, 1].max()
    assert found["grouped"] < 0.1
    assert found["alone"] > 0.8


def test_what_is_far_from_all_others_has_the_largest_distance() -> None:
    """In another direction than every cloud."""
    features, labels = clouds()
    features = np.pad(features, ((0, 0), (0, 1)))
    features[7] = 9 * np.eye(9)[8]
    _, distances = predict_out_of_fold(features, labels, ALONE, seed=0)
    assert distances.argmax() == 7


def test_the_result_depends_on_the_seed_alone() -> None:
    """And tells how far it is."""
    features, labels = clouds()
    heard: list[Event] = []
    one, other = (
        predict_out_of_fold(features, labels, ALONE, seed=0, emit=heard.append) for _ in range(2)
    )
    assert all(np.array_equal(*pair) for pair in zip(one, other, strict=True))
    assert heard[:3] == [Progress("comparing labels", n, 2, unit="parts") for n in (0, 1, 2)]
