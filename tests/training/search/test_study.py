"""A trial that is pruned or fails, and what the search makes of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kvgg_jax.core.config import RunConfig
from kvgg_jax.core.errors import (
    ConfigError,
    KvggError,
    NonFiniteLoss,
    OutOfMemory,
    RunError,
    Stopped,
    WeightsMismatch,
)
from kvgg_jax.core.events import EpochEnded
from kvgg_jax.core.history import Epoch, History
from kvgg_jax.runs.folder import Run
from kvgg_jax.training.search import group
from kvgg_jax.training.search.space import Range, Space
from kvgg_jax.training.search.storage import Journal
from kvgg_jax.training.search.study import Search, Trial
from kvgg_jax.training.search.tuning import tune
from support.runs import small_config

optuna = pytest.importorskip("optuna", reason="needs the extra tune")

SPACE: Space = {"train.min_delta": Range(1e-4, 1e-2, log=True)}


@pytest.fixture
def config(tmp_path: Path) -> RunConfig:
    """Nothing is trained with it."""
    return small_config(tmp_path / "photos")


def test_the_best_trial_is_complete_accurate_sure_and_early():
    """In this order; a trial that was not completed is never better than one that was."""

    def trial(number: int, state: str, accuracy: float | None, loss: float | None) -> Trial:
        return Trial(number, Path("x"), {}, state, 1, 1, accuracy, loss, 1.0)

    ranked = [
        trial(5, "complete", 0.9, 0.2),
        trial(6, "complete", 0.9, 0.2),
        trial(1, "complete", 0.9, 0.3),
        trial(2, "complete", 0.5, 0.1),
        trial(3, "pruned", 1.0, 0.1),
        trial(4, "diverged", None, None),
    ]
    assert sorted(ranked, key=lambda trial: trial.rank, reverse=True) == ranked


def test_the_best_trial_is_so_by_what_is_monitored():
    """A low loss, a high F1; one whose figure is no number is not complete."""

    def trial(number: int, state: str, **figures: Any) -> Trial:
        values = {"val_accuracy": 1 / number, "val_loss": 1.0, **figures}
        return Trial(number, Path("x"), {}, state, 1, 1, seconds=1.0, **values)

    for monitor, name, values in (
        ("loss", "val_loss", (0.1, 0.2, 0.3)),
        ("macro_f1", "val_macro_f1", (0.9, 0.8, 0.7)),
    ):
        ranked = [
            trial(4 - number, "complete", monitor=monitor, **{name: value})
            for number, value in enumerate(values)
        ]
        ranked.append(trial(9, "pruned", monitor=monitor, **{name: values[0]}))
        assert sorted(ranked, key=lambda trial: trial.rank, reverse=True) == ranked
        assert [one.monitored for one in ranked] == [*values, values[0]]


def row(epoch: int, accuracy: float) -> Epoch:
    return Epoch(epoch, 1.0, 0.5, 1.0, accuracy, 1e-3, 1.0, 10.0)


def search_in(folder: Path, config: RunConfig) -> Search:
    """The search that a folder keeps, to look at."""
    kept = Journal(folder, seed=config.seed, warmup=1)
    return Search(folder=folder, storage=kept, config=config, space=SPACE)


def trainer(after: Callable[[int], Any]) -> Callable[..., None]:
    """A `train` that only emits three epochs, and then calls `after`."""

    def train(
        config: RunConfig, *, out: Path, name: str, stop: Callable[[], bool], check: Any, emit: Any
    ) -> None:
        for epoch in (1, 2, 3):
            emit(EpochEnded(row(epoch, 0.5), 3, is_best=True))
            if stop():
                raise Stopped(f"after {epoch}")
        after(epoch)

    return train


@pytest.mark.parametrize(
    ("error", "state"),
    [
        (NonFiniteLoss("x"), "diverged"),
        (OutOfMemory("x"), "out of memory"),
        (ConfigError("x"), "refused"),
        (WeightsMismatch("x"), "refused"),
    ],
)
def test_a_trial_that_fails_for_its_settings_is_noted_and_the_search_continues(
    config, tmp_path, monkeypatch, error, state
):
    """When all of them fail there is no best one: an error with the next move."""

    def fail(epoch: int) -> None:
        raise error

    monkeypatch.setattr(group, "train", trainer(fail))
    with pytest.raises(RunError) as caught:
        tune(config, SPACE, trials=2, out=tmp_path)
    assert str(caught.value) == (
        f"None of the 2 trials in {tmp_path / 'tune'} was completed. "
        "Search a space with lower learning rates, or give more --trials."
    )
    search = search_in(tmp_path / "tune", config)
    assert [trial.state for trial in search.ended()] == [state, state]
    assert not (tmp_path / "tune" / "best.toml").exists()


def test_a_search_for_a_low_loss_minimizes_it(config, tmp_path, monkeypatch):
    """Optuna knows; the messages and `best.toml` name the loss. A loss that is no number fails."""
    losses, heard = iter((0.5, 0.25, float("inf"))), list[Any]()

    def train(config: RunConfig, *, out: Path, name: str, **_: Any) -> None:
        run, loss = Run(out / name), next(losses)
        run.path.mkdir()
        run.write("run.json", json.dumps({"settings": {"train.monitor": "loss"}}))
        run.write("history.csv", History((replace(row(1, 0.5), val_loss=loss),)).to_csv())

    monkeypatch.setattr(group, "train", train)
    config = config.with_train(monitor="loss")
    found = tune(config, SPACE, trials=3, out=tmp_path, emit=heard.append)
    assert [trial.state for trial in found.trials] == ["complete", "complete", "diverged"]
    assert (found.best.number, found.best.monitored) == (2, 0.25)
    assert found.config.read_text().splitlines()[0] == (
        f"# Trial 2 of {tmp_path / 'tune'}: validation loss 0.2500 in epoch 1"
    )
    texts = [event.text for event in heard]
    assert "Trial 2: complete, loss 0.2500; best so far: trial 2, 0.2500" in texts
    study = Journal(tmp_path / "tune", seed=1, warmup=1, direction="minimize").study
    assert (study.direction, study.best_value) == (optuna.study.StudyDirection.MINIMIZE, 0.25)


def test_a_trial_below_the_median_is_pruned(config, tmp_path, monkeypatch):
    """It stops after that epoch, when Optuna asks for it, and stays a run that can be resumed."""
    reports: list[int] = []

    def should_prune(trial: Any) -> bool:
        reports.append(trial.number)
        return len(reports) == 2

    def unreachable(epoch: int) -> None:
        raise KvggError("not pruned")

    monkeypatch.setattr(optuna.Trial, "should_prune", should_prune)
    monkeypatch.setattr(group, "train", trainer(unreachable))
    with pytest.raises(RunError, match="None of the 1 trials"):
        tune(config, SPACE, trials=1, out=tmp_path)
    assert reports == [0, 0]
    search = search_in(tmp_path / "tune", config)
    assert [trial.state for trial in search.ended()] == ["pruned"]
    assert search.storage.study.trials[0].intermediate_values == {1: 0.5, 2: 0.5}
