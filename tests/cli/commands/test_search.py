"""`kvgg lr-find` and `kvgg tune` as typed."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from kvgg_jax.core import extras
from kvgg_jax.core.config import RunConfig
from kvgg_jax.core.errors import Stopped
from kvgg_jax.training.search import tuning
from kvgg_jax.training.search.space import DEFAULT_SPACE, Range
from kvgg_jax.training.search.tuning import Trial, TuneResult
from support.commands import TINY, kvgg
from support.runs import draw_photos

pytestmark = pytest.mark.usefixtures("thin_network", "blank")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with `photos`, as current folder."""
    draw_photos(tmp_path / "photos", per_class=6)
    monkeypatch.chdir(tmp_path)
    return tmp_path


LR_FIND = ("lr-find", "--data", "photos", *TINY, "--steps", "10", "--high", "0.01")


def test_lr_find_json_is_what_the_documents_promise(here: Path) -> None:
    """It also draws a chart, and creates no run."""
    result = kvgg(*LR_FIND, "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert list(found) == [
        "suggested", "lowest", "still_falling", "reason", "picture", "rates", "losses", "smoothed",
    ]  # fmt: skip
    at = found["rates"].index(found["lowest"]["rate"])
    assert found["lowest"]["loss"] == min(found["smoothed"]) == found["smoothed"][at]
    assert found["suggested"] == pytest.approx(found["lowest"]["rate"] / 3)
    assert found["picture"] == "runs/lr_find.png"
    assert [path.name for path in Path("runs").iterdir()] == ["lr_find.png"]
    assert Path("runs/lr_find.png").read_bytes().startswith(b"\x89PNG")


TRIALS = (
    Trial(1, Path("r/t/trial-001"), {"optim.lr": 0.00031}, "complete", 8, 6, 0.975, 0.0625, 95.0),
    Trial(2, Path("r/t/trial-002"), {"optim.lr": 0.1}, "diverged", 0, None, None, None, 0.0),
)


@pytest.fixture
def searches(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """What `kvgg tune` asked of the API, which answers with `TRIALS`."""
    asked: list[tuple[Any, ...]] = []

    def tune(config: RunConfig, space: Any, **how: Any) -> TuneResult:
        asked.append((config, space, how["trials"], how["out"], how["name"]))
        return TuneResult(Path("r/t"), TRIALS, Path("r/t/best.toml"))

    monkeypatch.setattr(tuning, "tune", tune)
    monkeypatch.setitem(extras.EXTRAS, "tune", ())
    return asked


def test_tune_searches_all_but_what_is_given(searches, tmp_path):
    """By a flag or by --set; of the file of --space too."""
    kvgg("tune", "--head", "gap", "--set", "optim.decay_rate=1.0", "--trials", "5")
    (config, space, *rest) = searches[0]
    assert config == RunConfig(model={"head": "gap"}, optim={"decay_rate": 1.0})
    assert set(space) == set(DEFAULT_SPACE) - {"model.head", "optim.decay_rate"}
    assert rest == [5, Path("runs"), "tune"]
    file = tmp_path / "space.toml"
    file.write_text('[model]\nhead = ["gap", "8"]\n[train.batch_size]\nlow = 8\nhigh = 32\n')
    kvgg("tune", "--space", file, "--head", "gap", "--name", "x", "--out", tmp_path)
    assert searches[1][1:] == ({"train.batch_size": Range(8, 32)}, 20, tmp_path, "x")


def test_tune_json_is_what_the_documents_promise(searches):
    """A trial without an epoch has no figures."""
    found = json.loads(kvgg("tune", "--json").stdout)
    best = {
        "run": "r/t/trial-001",
        "number": 1,
        "state": "complete",
        "epochs": 8,
        "epoch": 6,
        "val_accuracy": 0.975,
        "val_loss": 0.0625,
        "seconds": 95.0,
        "values": {"optim.lr": 0.00031},
        "host": None,
        "monitor": "accuracy",
    }
    failed = {
        "run": "r/t/trial-002",
        "number": 2,
        "state": "diverged",
        "epochs": 0,
        "epoch": None,
        "val_accuracy": None,
        "val_loss": None,
        "seconds": 0.0,
        "values": {"optim.lr": 0.1},
        "host": None,
        "monitor": "accuracy",
    }
    assert found == {
        "folder": "r/t",
        "config": "r/t/best.toml",
        "best": best,
        "trials": [best, failed],
    }


def test_tune_ends_with_the_trials_and_what_to_do_next(searches):
    """The best trial first."""
    lines = kvgg("tune").stdout.splitlines()
    assert lines[:3] == [
        "trial          state  accuracy      loss  epochs     time  tried",
        "    1       complete    0.9750    0.0625       8     1:35  optim.lr 0.00031",
        "    2       diverged         -         -       0     0:00  optim.lr 0.1",
    ]
    assert lines[3:] == [
        "Best: trial 1 in r/t/trial-001, validation accuracy 0.9750 in epoch 6",
        "Its settings: r/t/best.toml",
        "Next: kvgg evaluate --run r/t/trial-001",
        "      kvgg train --config r/t/best.toml --epochs N",
    ]


def test_a_stopped_search_shows_how_to_resume(searches, monkeypatch):
    """With the very command that began it."""

    def tune(*args: Any, **how: Any) -> TuneResult:
        raise Stopped("Stopped in epoch 2, after step 3 of 4.")

    monkeypatch.setattr(tuning, "tune", tune)
    monkeypatch.setattr(sys, "argv", ["kvgg", "tune", "--data", "my photos"])
    result = kvgg("tune", "--data", "my photos")
    assert (result.exit_code, result.stderr) == (
        130,
        "Stopped in epoch 2, after step 3 of 4. Everything is saved. To resume, "
        "repeat the command:\n"
        "  kvgg tune --data 'my photos'\n",
    )


def test_the_help_of_tune_names_what_it_searches():
    """All keys of the space there is without --space."""
    text = " ".join(kvgg("tune", "--help").stdout.split())
    assert [key for key in DEFAULT_SPACE if key not in text] == []


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (
            ("--space", "missing.toml"),
            "Error: Cannot read the config file missing.toml: No such file or directory.\n",
        ),
        (
            ("--set", "optim={}", "--head", "gap", "--dropout", "0", "--batch-size", "8",
             "--augment", "none"),
            "Error: space: nothing is left to search; leave a setting open.\n",
        ),
    ],
)  # fmt: skip
def test_a_space_that_will_not_do_is_refused_at_once(searches, words, expected):
    """Before any photo is read."""
    result = kvgg("tune", *words)
    assert (result.exit_code, result.stderr, searches) == (1, expected, [])
