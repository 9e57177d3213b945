"""Runs whose first epoch solves a linear head: alone, and before all of the network is trained."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from kvgg_jax.core.config import RunConfig
from kvgg_jax.core.events import EpochEnded, Event, Note, Progress
from kvgg_jax.evaluation.evaluate import evaluate
from kvgg_jax.inference.classifier import load_classifier, predict
from kvgg_jax.models.heads import STANDARDIZED
from kvgg_jax.training.trainer import TrainResult, resume, train
from support.faults import assert_same_run
from support.runs import small_config

pytestmark = pytest.mark.usefixtures("thin_network", "blank")


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
