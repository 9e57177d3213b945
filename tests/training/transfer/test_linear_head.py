"""A linear head is solved: the optimum of a logistic regression, in a run's first epoch."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from kvgg_jax.core.config import RunConfig
from kvgg_jax.core.events import EpochEnded, Event, Note, Progress
from kvgg_jax.evaluation.evaluate import evaluate
from kvgg_jax.inference.classifier import load_classifier, predict
from kvgg_jax.models.heads import LAST, STANDARDIZED
from kvgg_jax.training.trainer import TrainResult, resume, train
from kvgg_jax.training.transfer import linear_head
from kvgg_jax.training.transfer.linear_head import STRENGTHS, Solution, solve
from support.faults import assert_same_run
from support.runs import small_config

pytestmark = pytest.mark.usefixtures("thin_network", "blank")


def logits(found: Solution, features: NDArray[Any]) -> NDArray[Any]:
    """As the layers of the head compute them."""
    mean, variance = (found.weights[f"{STANDARDIZED}/moving_{x}"] for x in ("mean", "variance"))
    scaled = (features - mean) / np.sqrt(variance + 1e-7)
    return scaled @ found.weights[f"{LAST}/kernel"] + found.weights[f"{LAST}/bias"]


def clouds(classes: int, count: int = 60) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Features about a center per class, far from 0, and the last one always the same."""
    rng = np.random.default_rng(0)
    labels = np.arange(count, dtype=np.int32) % classes
    features = rng.normal(5, 2, (classes, 6))[labels] + rng.normal(0, 2, (count, 6))
    return np.c_[features, np.ones(count)].astype(np.float32), labels


@pytest.mark.parametrize("balanced", [False, True])
@pytest.mark.parametrize("counted", [False, True])
@pytest.mark.parametrize("classes", [2, 3])
def test_it_is_the_logistic_regression_of_scikit_learn_on_standardized_features(
    classes: int, counted: bool, balanced: bool
) -> None:
    """At the strength that it has chosen."""
    features, labels = clouds(classes)
    features, labels = features[:-20], labels[:-20]
    counts = np.resize(np.float32([1, 5, 0.5]), len(labels)) if counted else None
    found = solve(features, labels, classes=classes, seed=0, balanced=balanced, counts=counts)
    weight = "balanced" if balanced else None
    head = LogisticRegression(C=found.strength, class_weight=weight, max_iter=1000, tol=1e-6)
    expected = make_pipeline(StandardScaler(), head)
    expected.fit(features, labels, logisticregression__sample_weight=counts)
    own = np.exp(logits(found, features))
    np.testing.assert_allclose(
        own / own.sum(axis=1, keepdims=True), expected.predict_proba(features), atol=1e-3
    )


def test_the_strength_suits_what_the_features_can_say() -> None:
    """Strong L2 for labels that are noise, weak L2 for clear ones."""
    features, labels = clouds(3)
    noise = np.random.default_rng(1).permutation(labels)
    weak, strong = (solve(features, of, classes=3, seed=0).strength for of in (labels, noise))
    assert {weak, strong} <= {*STRENGTHS.tolist()}
    assert strong < 0.01 < weak


def test_classes_with_one_image_or_none_are_solved_too() -> None:
    """Without cross-validation; a class without an image is hardly ever predicted."""
    features, labels = clouds(4, count=4)
    seen = labels != 2
    found = solve(features[seen], labels[seen], classes=4, seed=0)
    answers = logits(found, features[seen])
    assert answers.argmax(axis=1).tolist() == [0, 1, 3]
    assert np.isfinite(answers).all()


def test_a_solution_short_of_the_optimum_is_one_and_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where L-BFGS has to stop early."""
    features, labels = clouds(3)
    assert solve(features, labels, classes=3, seed=0).is_exact
    monkeypatch.setattr(linear_head, "MOST_STEPS", 2)
    assert not solve(features, labels, classes=3, seed=0).is_exact


@pytest.fixture(scope="module")
def solved(
    finished: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[TrainResult, list[Event]]:
    """A run with a linear head on the frozen backbone of another, and its events."""
    heard: list[Event] = []
    config = small_config(
        finished.parents[1] / "photos",
        model={"weights": str(finished), "freeze": "backbone", "head": "linear"},
    )
    return train(config, out=tmp_path_factory.mktemp("out"), name="x", emit=heard.append), heard


def test_a_run_on_a_frozen_backbone_is_over_once_its_head_is_solved(
    solved: tuple[TrainResult, list[Event]],
) -> None:
    """It reports the strength, and `evaluate` finds what it recorded."""
    result, heard = solved
    (row,) = result.history
    texts = [event.text for event in heard if isinstance(event, Note)]
    assert any(text.startswith("Solved the head by logistic regression, C = ") for text in texts)
    assert (result.reason, row.learning_rate) == ("all 1 epochs are done", None)
    found = evaluate(result.run)
    assert found.accuracy == row.val_accuracy
    assert found.loss == pytest.approx(row.val_loss, abs=1e-5)


def test_its_predictions_are_those_of_the_solution(
    solved: tuple[TrainResult, list[Event]], finished: Path
) -> None:
    """Without Keras, from the pixels on."""
    run = solved[0].run
    weights = load_classifier(run).weights
    assert weights[1][f"{STANDARDIZED}/moving_variance"].shape == (256,)
    photos = sorted((finished.parents[1] / "photos").rglob("*.png"))
    right = [one.label == one.path.parent.name for one in predict(photos, run)]
    assert np.mean(right) > 0.9


def finetuned(finished: Path) -> RunConfig:
    """The head is solved, then a stage more learns in each epoch."""
    return small_config(
        finished.parents[1] / "photos",
        data={"augment": "light"},
        model={"weights": str(finished), "head": "linear", "dropout": 0.2},
        optim={"lr": 1e-4, "stage_decay": 0.3, "unfreeze_every": 1},
        train={"epochs": 3, "ema": 0.9},
    )


@pytest.fixture(scope="module")
def whole_finetuned(
    finished: Path,
    tmp_path_factory: pytest.TempPathFactory,
    solved: tuple[TrainResult, list[Event]],
) -> TrainResult:
    return train(finetuned(finished), out=tmp_path_factory.mktemp("out"), name="whole")


def test_a_run_may_solve_its_head_first_and_then_train_all_of_it(
    solved: tuple[TrainResult, list[Event]], whole_finetuned: TrainResult
) -> None:
    """Its first epoch is that of the frozen backbone."""
    first, second, _ = whole_finetuned.history
    assert first == replace(solved[0].history.epochs[0], seconds=first.seconds)
    assert 0 < second.learning_rate < 1e-4


@pytest.mark.parametrize(
    "moment",
    [
        ("validating", 1),
        ("training", 2),
        ("validating", 2),
        ("training", 3),
        "end of 1",
        "end of 2",
    ],
    ids=str,
)
def test_it_can_be_cut_at_any_moment(
    moment: object, finished: Path, whole_finetuned: TrainResult, tmp_path: Path
) -> None:
    """Resumed, it is the run that was never cut."""

    def press(event: Event) -> None:
        here: object = None
        if isinstance(event, EpochEnded):
            here = f"end of {event.row.epoch}"
        elif isinstance(event, Progress) and event.done == 1:
            here = (event.stage, event.epoch)
        if here == moment:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(finetuned(finished), out=tmp_path, name="cut", emit=press)
    assert_same_run(resume(tmp_path / "cut").run, whole_finetuned.run)
