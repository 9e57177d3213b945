"""A search for settings: its trials are runs, it can be cut anywhere, it finds the best."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from kvgg_jax.core import extras
from kvgg_jax.core.config import RunConfig
from kvgg_jax.core.config_file import resolve, with_values
from kvgg_jax.core.errors import (
    ConfigError,
    MissingExtra,
    RunError,
    Stopped,
)
from kvgg_jax.core.events import EpochEnded, Event, Progress
from kvgg_jax.runs.folder import Run
from kvgg_jax.training.search.space import Range, Space
from kvgg_jax.training.search.tuning import TuneResult, tune
from support.runs import draw_photos, small_config

optuna = pytest.importorskip("optuna", reason="needs the extra tune")
pytestmark = pytest.mark.usefixtures("thin_network", "blank")

# Neither changes the compiled steps, so that the tests are quick.
SPACE: Space = {
    "train.min_delta": Range(1e-4, 1e-2, log=True),
    "model.init": ("he_uniform", "glorot_uniform"),
}


class Lab(NamedTuple):
    """A search of two trials that was never cut."""

    config: RunConfig
    whole: TuneResult


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory, thin_network: None) -> Lab:
    folder = tmp_path_factory.mktemp("tuning")
    config = small_config(draw_photos(folder / "photos", per_class=5))
    return Lab(config, tune(config, SPACE, trials=2, out=folder / "runs"))


@pytest.fixture
def copy(lab: Lab, tmp_path: Path) -> Path:
    """The finished search, to be changed."""
    return shutil.copytree(lab.whole.folder, tmp_path / "tune")


def figures(result: TuneResult) -> list[tuple[Any, ...]]:
    return [
        (trial.number, trial.values, trial.state, trial.epoch, trial.val_accuracy, trial.val_loss)
        for trial in result.trials
    ]


def test_each_trial_is_an_ordinary_run_with_the_settings_it_tried(lab):
    """The figures are those of its best epoch."""
    assert [trial.run.name for trial in lab.whole.trials] == ["trial-001", "trial-002"]
    for trial in lab.whole.trials:
        run, best = Run(trial.run), Run(trial.run).history().best
        assert trial.values.keys() == SPACE.keys()
        assert 1e-4 <= trial.values["train.min_delta"] <= 1e-2
        assert run.config() == with_values(lab.config, trial.values, where="test")
        assert (trial.epoch, trial.val_accuracy, trial.val_loss) == (
            best.epoch,
            best.val_accuracy,
            best.val_loss,
        )
        assert trial.epochs == len(run.history())
    assert len({trial.values["train.min_delta"] for trial in lab.whole.trials}) == 2


def test_the_best_trials_settings_are_a_config_to_train_with(lab):
    """Highest validation accuracy, then lowest loss, as for the epochs of a run."""
    whole = [trial for trial in lab.whole.trials if trial.state == "complete"]
    best = max(whole, key=lambda trial: (trial.val_accuracy, -trial.val_loss))
    assert lab.whole.best == best
    assert resolve(lab.whole.config) == Run(best.run).config()
    assert lab.whole.config.read_text().startswith(
        f"# Trial {best.number} of {lab.whole.folder}: validation accuracy {best.val_accuracy:.4f}"
    )


def test_a_search_that_was_stopped_and_resumed_is_the_one_that_was_never_stopped(lab, tmp_path):
    """In the second trial's first epoch: it is resumed, with the settings it had. `before_run`
    is called for it alone, since the first is done."""
    heard: list[Event] = []

    def stop() -> bool:
        trained = [e for e in heard if isinstance(e, Progress) and e.stage == "training"]
        ended = sum(isinstance(event, EpochEnded) for event in heard)
        return ended == lab.config.train.epochs and bool(trained) and trained[-1].epoch == 1

    with pytest.raises(Stopped):
        tune(lab.config, SPACE, trials=2, out=tmp_path, stop=stop, emit=heard.append)
    cut = Run(tmp_path / "tune" / "trial-002")
    assert (cut.info()["status"], len(cut.history())) == ("unfinished", 0)
    calls: list[int] = []
    ways = {"before_run": lambda: calls.append(len(cut.history()))}
    again = tune(lab.config, SPACE, trials=2, out=tmp_path, **ways)
    assert (figures(again), calls) == (figures(lab.whole), [0])


@pytest.mark.parametrize("lost", [0, 1, 2])
def test_a_kill_after_the_last_run_ended_loses_nothing(lab, copy, lost):
    """Its end or its figures are not in the journal; or half a line is, beside a stale lock."""
    journal = copy / "journal.jsonl"
    lines = journal.read_text().splitlines(keepends=True)
    assert '"state":1' in lines[-1]
    journal.write_text("".join(lines[: len(lines) - lost]) + '{"op_co')
    (copy / "journal.jsonl.lock").symlink_to(journal)
    heard: list[Event] = []
    again = tune(lab.config, SPACE, trials=2, out=copy.parent, emit=heard.append)
    assert figures(again) == figures(lab.whole)
    assert not any(isinstance(event, EpochEnded) for event in heard)


def test_a_folder_with_another_search_is_left_alone(lab, copy):
    """What differs is named; a folder of something else is no search."""
    with pytest.raises(RunError) as caught:
        tune(lab.config.with_train(epochs=9), {"model.init": ("he_uniform",)}, out=copy.parent)
    assert str(caught.value) == "\n".join(
        [
            f"{copy} holds another search:",
            "  config.train.epochs: 2 then, 9 now",
            '  space.model.init: ["he_uniform", "glorot_uniform"] then, ["he_uniform"] now',
            "  space.train.min_delta.low: 0.0001 then, nothing now",
            "  space.train.min_delta.high: 0.01 then, nothing now",
            "  space.train.min_delta.log: true then, nothing now",
            "Search with its settings, or choose another --name.",
        ]
    )
    with pytest.raises(RunError) as caught:
        tune(lab.config, SPACE, out=copy, name="trial-001")
    assert str(caught.value) == (
        f"{copy / 'trial-001'} already exists and is no search. Choose another --name."
    )


def test_without_optuna_the_error_has_the_command_that_installs_it(tmp_path, monkeypatch):
    """Before anything is written."""
    monkeypatch.setitem(extras.EXTRAS, "tune", ("pip-of-no-kind",))
    with pytest.raises(MissingExtra) as caught:
        tune(small_config(tmp_path), out=tmp_path / "runs")
    assert str(caught.value) == (
        "kvgg tune needs pip-of-no-kind, which is not installed. "
        'Add it: pip install "kvgg_jax[tune]"'
    )
    assert list(tmp_path.iterdir()) == []


def test_the_settings_of_the_best_trial_are_written_again_where_they_are_missing(lab, copy):
    """A kill may come after the last trial ended and before its settings are written."""
    (copy / "best.toml").unlink()
    again = tune(lab.config, SPACE, trials=2, out=copy.parent)
    assert resolve(again.config) == Run(again.best.run).config()


def test_a_search_is_not_resumed_with_other_photos(lab, tmp_path):
    """Their accuracies would be compared with those of before. Nothing is trained on them."""
    photos = shutil.copytree(str(lab.config.data.dir), tmp_path / "photos")
    config = lab.config.with_data(dir=str(photos))
    tune(config, SPACE, trials=1, out=tmp_path / "runs")
    shutil.copy(photos / "red" / "red_00.png", photos / "red" / "new.png")
    place = tmp_path / "runs" / "tune"
    with pytest.raises(RunError) as caught:
        tune(config, SPACE, trials=2, out=tmp_path / "runs")
    assert str(caught.value) == (
        f"The photos changed since {place} was started, so {place / 'trial-002'} cannot be "
        f"compared with {place / 'trial-001'}. Restore them and remove {place / 'trial-002'}, or "
        "choose another --name."
    )
    assert len(Run(place / "trial-002").history()) == 0
    (photos / "red" / "new.png").unlink()
    shutil.rmtree(place / "trial-002")
    assert len(tune(config, SPACE, trials=2, out=tmp_path / "runs").trials) == 2


def test_a_search_of_a_version_with_fewer_settings_can_be_resumed(lab, copy):
    """What that version did not know had its default."""
    file = copy / "tune.toml"
    lines = file.read_text().splitlines()
    assert "label_smoothing = 0.0" in lines
    file.write_text("\n".join(line for line in lines if not line.startswith("label_smoothing")))
    assert figures(tune(lab.config, SPACE, trials=2, out=copy.parent)) == figures(lab.whole)
    smoothed = lab.config.model_copy(
        update={"optim": lab.config.optim.model_copy(update={"label_smoothing": 0.1})}
    )
    with pytest.raises(RunError, match=r"label_smoothing: 0\.0 then, 0\.1 now"):
        tune(smoothed, SPACE, trials=2, out=copy.parent)


def test_initial_weights_are_not_searched(lab, tmp_path):
    """They decide how photos are prepared, once for all trials."""
    with pytest.raises(ConfigError) as caught:
        tune(lab.config, {"model.weights": ("imagenet",)}, out=tmp_path)
    assert str(caught.value) == (
        "space: model.weights decides how photos are prepared. "
        "Search with each kind of weights by itself."
    )
