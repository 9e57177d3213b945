"""A search in a database: no trial is lost or doubled, whichever worker ends how."""

from __future__ import annotations

import socket
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kvgg_jax.core.config import RunConfig
from kvgg_jax.core.errors import MissingExtra, RunError, Stopped, UsageError
from kvgg_jax.core.events import EpochEnded, Note, Warned, ignore
from kvgg_jax.core.history import Epoch, History
from kvgg_jax.runs.folder import Run
from kvgg_jax.training.loop import never
from kvgg_jax.training.search import database, study
from kvgg_jax.training.search.database import Database
from kvgg_jax.training.search.space import Range, Space
from kvgg_jax.training.search.storage import number
from kvgg_jax.training.search.tuning import tune
from support.runs import small_config

optuna = pytest.importorskip("optuna", reason="needs the extra tune")

SPACE: Space = {"train.min_delta": Range(1e-4, 1e-2, log=True)}
ROW = Epoch(1, 1.0, 0.5, 1.0, 0.5, 1e-3, 1.0, 10.0)
END = {
    **{"state": "complete", "epochs": 7, "epoch": 1},
    **{"val_accuracy": 0.5, "val_loss": 1.0, "seconds": 1.0},
}


@pytest.fixture
def url(tmp_path: Path) -> str:
    """SQLite is a database too."""
    return f"sqlite:///{tmp_path / 'trials.db'}"


@pytest.fixture
def config(tmp_path: Path) -> RunConfig:
    """Nothing is trained with it."""
    return small_config(tmp_path / "photos")


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """A trial is for another worker after a second without a sign of life."""
    monkeypatch.setattr(database, "GRACE", 1)
    monkeypatch.setattr(database, "PAUSE", 0.1)


@pytest.fixture
def run_of(monkeypatch: pytest.MonkeyPatch) -> list[Callable[[Run], Any]]:
    """What a trial does in place of training, before its only epoch ends; a stop is asked after."""
    called: list[Callable[[Run], Any]] = []

    def finish(run: Run, config: RunConfig, *, stop: Any, emit: Any, **_: Any) -> None:
        for call in called:
            call(run)
        emit(EpochEnded(ROW, 1, is_best=True))
        if stop():
            raise Stopped("saved")
        run.path.mkdir(exist_ok=True)
        (run.path / "history.csv").write_text(History((ROW,)).to_csv())

    monkeypatch.setattr(study, "finish", finish)
    return called


def worker(url: str) -> Database:
    return Database(url, "tune", seed=1, warmup=1)


def take(one: Database, trials: int = 1, *, stop: Callable[[], bool] = lambda: True) -> Any:
    """A trial with a setting; Stopped where it would have to wait for others."""
    trial = one.take(trials, stop=stop, emit=ignore)
    assert trial is not None
    trial.suggest_float("train.min_delta", 1e-4, 1e-2, log=True)
    return trial


def number_of(one: Database, trial: Any) -> int:
    return number(one.study.trials[trial.number])


def end(one: Database, trial: Any) -> None:
    one.study.tell(trial, 0.5)


def test_a_search_in_a_database_is_the_one_in_a_file(config, url, tmp_path, run_of):
    """With one worker. A worker that comes later finds all trials, and its best settings."""
    ways: dict[str, Any] = {"trials": 3, "storage": url}
    kept = tune(config, SPACE, **ways, out=tmp_path / "a")
    file = tune(config, SPACE, trials=3, out=tmp_path / "b")
    assert [trial.values for trial in kept.trials] == [trial.values for trial in file.trials]
    assert {trial.host for trial in kept.trials} == {socket.gethostname()}
    assert sorted(path.name for path in kept.folder.iterdir()) == [
        *("best.toml", "trial-001", "trial-002", "trial-003", "tune.toml")
    ]
    run_of.append(lambda run: pytest.fail("trained again"))
    later = tune(config, SPACE, **ways, out=tmp_path / "c")
    assert [trial.values for trial in later.trials] == [trial.values for trial in kept.trials]
    assert later.config.read_text().partition("\n")[2] == kept.config.read_text().partition("\n")[2]


def test_workers_take_different_trials_until_all_are_taken(url):
    """The last one waits for the others, until they have ended theirs."""
    one, other = worker(url), worker(url)
    first, second = take(one, 2), take(other, 2)
    assert (first.number, second.number) == (0, 1)
    assert first.params != second.params
    with pytest.raises(Stopped):
        take(one, 2)
    end(one, first)
    end(other, second)
    assert one.take(2, stop=never, emit=ignore) is None
    assert take(one, 3).number == 2


def test_a_worker_that_waits_says_so_once(url, hasty):
    """And sees when the other has ended."""
    one, other = worker(url), worker(url)
    first = take(one)
    looks, heard = [], []

    def stop() -> bool:
        looks.append(1)
        if len(looks) == 3:
            end(one, first)
        return False

    assert other.take(1, stop=stop, emit=heard.append) is None
    assert heard == [Note("Other workers train the last trials: waiting for 1")]


@pytest.mark.parametrize("has_said_where", [True, False])
def test_the_trial_of_a_killed_worker_is_taken_again(url, hasty, has_said_where):
    """With its settings, under its number, by one other alone. It may be killed in the first
    moment, before it has said where it is."""
    killed, one, other = worker(url), worker(url), worker(url)
    if has_said_where:
        lost = take(killed)
    else:
        lost = optuna.Trial(killed.study, killed._storage.create_new_trial(killed.study._study_id))
        lost.suggest_float("train.min_delta", 1e-4, 1e-2, log=True)
    again = take(one, stop=never)  # waits until it is stale
    assert again.number == 1
    assert (number_of(one, again), again.params) == (1, lost.params)
    with pytest.raises(Stopped):
        take(other)
    end(one, again)
    assert other.take(1, stop=never, emit=ignore) is None
    assert [number(trial) for trial in other.ended()] == [1]


def test_a_worker_that_gives_signs_of_life_keeps_its_trial(url, hasty, monkeypatch):
    """However long it takes."""
    monkeypatch.setattr(database, "BEAT", 0.1)
    one, other = worker(url), worker(url)
    trial = take(one)
    with one.held(trial, emit=ignore):
        began = time.monotonic()
        with pytest.raises(Stopped):
            take(other, stop=lambda: time.monotonic() - began > 2.5)
    end(one, trial)


def test_a_worker_that_lost_its_trial_says_so_and_continues(url, config, tmp_path, run_of):
    """It was silent for too long; the trial counts once, as the other worker has ended it."""
    other, heard = worker(url), []

    def taken(run: Run) -> None:
        run_of.clear()
        given = other.study.tell(0, state=optuna.trial.TrialState.FAIL)
        other._again(other.study, given)
        again = take(other)
        again.set_user_attr("end", END)
        end(other, again)

    run_of.append(taken)
    found = tune(config, SPACE, trials=2, storage=url, out=tmp_path, emit=heard.append)
    assert [warned.text for warned in heard if isinstance(warned, Warned)] == [
        "Another worker has taken the trial, since nothing was heard from here."
    ]
    assert [(trial.number, trial.epochs) for trial in found.trials] == [(1, 7), (3, 1)]


def test_a_worker_that_is_stopped_gives_its_trial_back_at_once(url, config, tmp_path, run_of):
    """To itself, when the command is repeated, or to another."""
    with pytest.raises(Stopped):
        tune(config, SPACE, trials=1, storage=url, out=tmp_path, stop=lambda: True)
    other = worker(url)
    again = take(other)
    assert number_of(other, again) == 1
    assert other.study.trials[0].params == again.params


def test_two_workers_that_ask_at_once_do_not_start_one_trial_too_many(url, monkeypatch):
    """Both have counted before either asked: the later one gives up its own."""
    one, other = worker(url), worker(url)
    ask, first = one._ask, []

    def late() -> Any:
        first.append(take(other))
        return ask()

    monkeypatch.setattr(one, "_ask", late)
    with pytest.raises(Stopped):
        take(one)
    assert first[0].number == 0
    end(other, first[0])
    assert one.take(1, stop=never, emit=ignore) is None
    assert len(other.ended()) == 1


def test_workers_of_one_search_search_the_same(url, config, tmp_path, run_of):
    """Wherever their folders are."""
    tune(config, SPACE, trials=1, storage=url, out=tmp_path / "a")
    with pytest.raises(RunError) as caught:
        tune(config.with_train(epochs=9), SPACE, storage=url, out=tmp_path / "b")
    assert str(caught.value) == (
        "The database holds another search:\n  config.train.epochs: 2 then, 9 now\n"
        "Search with its settings, or choose another --name."
    )


def test_workers_need_the_same_photos(url, tmp_path, config):
    """Of one image size and `data.resize`."""

    class Prepared:
        def __init__(self, fingerprint: str, **shape: Any) -> None:
            self.shape, self.fingerprint = {"image_size": 32, **shape}, fingerprint

        def info(self) -> Any:
            return {"data": {"fingerprint": self.fingerprint, "left_out": [], "split": "s"}}

        def config(self) -> RunConfig:
            return config.with_data(**self.shape)

    one, other = worker(url), worker(url)
    one.check_photos(take(one, 5), Prepared("a"))
    other.check_photos(take(other, 5), Prepared("a"))
    other.check_photos(take(other, 5), Prepared("b", image_size=48))
    other.check_photos(take(other, 5), Prepared("c", resize="crop"))
    with pytest.raises(RunError) as caught:
        other.check_photos(take(other, 5), Prepared("b"))
    assert str(caught.value) == (
        f"The photos here are not those of trial 1, on {socket.gethostname()}, so the two cannot "
        "be compared. Give all workers the same photos, or choose another --name."
    )


@pytest.mark.parametrize(
    ("storage", "error", "text"),
    [
        ("trials.db", UsageError, "--storage: expected the URL of a database, like postgresql://"),
        ("nosuch://me:secret@host/x", UsageError, "--storage: expected the URL of a database"),
        (
            "mysql://me:secret@host/trials",
            MissingExtra,
            "--storage mysql://me:***@host/trials needs MySQLdb, which is not installed. Add the "
            "driver that SQLAlchemy wants for this database, or take postgresql://.",
        ),
        (
            "sqlite:////no/such/folder/trials.db",
            RunError,
            "The database sqlite:////no/such/folder/trials.db does not answer: "
            "unable to open database file. Nothing is lost: repeat the command when it does.",
        ),
    ],
)
def test_a_storage_that_cannot_be_used_is_refused(config, tmp_path, storage, error, text):
    """In one message, without the password."""
    with pytest.raises(error) as caught:
        tune(config, SPACE, storage=storage, out=tmp_path)
    assert str(caught.value).startswith(text)
    assert "secret" not in str(caught.value)


def test_a_database_that_goes_away_ends_the_worker_with_a_message(url, config, tmp_path, run_of):
    """What was saved stays."""

    def gone(run: Run) -> None:
        with sqlite3.connect(url.removeprefix("sqlite:///")) as tables:
            tables.execute("drop table trial_intermediate_values")

    run_of.append(gone)
    with pytest.raises(RunError, match=r"does not answer: .*no such table.*repeat the command"):
        tune(config, SPACE, trials=1, storage=url, out=tmp_path)
