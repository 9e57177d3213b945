"""A setting is one field, from which everything else about it is derived."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any, Literal

import pytest
from typer.testing import CliRunner

from kvgg_jax.core import config as settings_of_a_run
from kvgg_jax.core import config_file
from kvgg_jax.core.config import SETTINGS, RunConfig, settings
from kvgg_jax.core.errors import ConfigError, RunError, UsageError
from kvgg_jax.core.settings import Setting, read_settings, setting
from kvgg_jax.core.tables.train import TrainConfig
from kvgg_jax.runs.manifest import MAY_CHANGE, UNSEEN, check_settings
from kvgg_jax.training.search.space import check_space
from support.runs import ROOT

FRESH = "train.fresh_start"


class FreshTrain(TrainConfig):
    """The table `train` with a setting more."""

    fresh_start: Literal["never", "often"] = setting("never", "step", resume="config")
    """When to begin anew: never or often. It is made up for this test."""


class FreshRun(RunConfig):
    """A configuration with a setting more."""

    train: FreshTrain = FreshTrain()


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch) -> Setting:
    """The setting that is there for one test, declared as one field."""
    found = {one.key: one for one in read_settings(FreshRun)}[FRESH]
    monkeypatch.setitem(SETTINGS, FRESH, found)
    monkeypatch.setattr(config_file, "RunConfig", FreshRun)
    monkeypatch.setattr(settings_of_a_run, "RunConfig", FreshRun)
    return found


def test_a_field_has_everything_about_its_setting(fresh: Setting) -> None:
    """Type, default, description, flag, choices, and what it affects."""
    assert fresh == Setting(
        key=FRESH,
        default="never",
        description="When to begin anew: never or often. It is made up for this test.",
        type=str,
        choices=("never", "often"),
        flag="--fresh-start",
        affects=frozenset({"step"}),
        resume="config",
        no_search="",
        used_by={},
    )
    assert (fresh.help, fresh.changes_result) == ("When to begin anew: never or often.", True)
    assert fresh.typed("often") == "--fresh-start often"


@pytest.mark.usefixtures("fresh")
def test_a_new_field_has_its_flag_help_default_and_completion() -> None:
    """In each command whose work it affects."""
    from kvgg_jax.cli.main import app

    wide = {"COLUMNS": "200", "NO_COLOR": "1", "FORCE_COLOR": None}
    shown = CliRunner(env=wide).invoke(app, ["bench", "--help"], prog_name="kvgg").stdout
    line = next(line for line in shown.splitlines() if "--fresh-start" in line)
    assert "When to begin anew: never or often." in line
    assert "[default: never]" in shown
    asking = {"_KVGG_COMPLETE": "complete_bash", "COMP_WORDS": "kvgg train --fresh-start "}
    asked = CliRunner(env={**asking, "COMP_CWORD": "3"}).invoke(app, [], prog_name="kvgg")
    assert asked.stdout.split() == ["never", "often"]
    assert "--fresh-start" not in CliRunner(env=wide).invoke(app, ["summary", "--help"]).stdout


def test_a_new_field_has_its_row_in_the_documents(fresh: Setting) -> None:
    """Key, default, flag and description."""
    made = runpy.run_path(str(ROOT / "docs/settings_table.py"))["with_rows"]
    page = "text\n|---|---|---|---|\n| an old row |\n\nmore\n"
    assert made(page, [fresh]) == (
        "text\n|---|---|---|---|\n"
        "| `train.fresh_start` | `never` | `--fresh-start` | When to begin anew: never or often. "
        "It is made up for this test. |\n\nmore\n"
    )


@pytest.mark.usefixtures("fresh")
def test_a_new_field_is_set_by_its_flag_and_a_wrong_value_is_refused() -> None:
    """By the type of the field."""
    config = config_file.resolve(None, {FRESH: ("--fresh-start often", "often")})
    assert settings(config)[FRESH] == "often"
    with pytest.raises(UsageError) as caught:
        config_file.resolve(None, {FRESH: ("--fresh-start once", "once")})
    assert str(caught.value) == "--fresh-start once: input should be 'never' or 'often'."


def test_the_rules_at_a_resume_are_those_of_the_fields() -> None:
    """`config` may be changed in config.toml; `flag` may be typed beside --resume too."""
    rules = {key: one.resume for key, one in SETTINGS.items() if one.resume != "no"}
    assert rules == {
        "data.dir": "config",
        "data.val": "config",
        "data.test": "config",
        "data.root": "config",
        "data.cache": "config",
        "train.epochs": "flag",
        "train.save_every_steps": "config",
        "train.track": "flag",
        "train.devices": "flag",
        "train.shard": "flag",
    }
    assert rules.keys() == MAY_CHANGE
    assert {"data.cache", "train.save_every_steps", "train.track"} == UNSEEN


@pytest.mark.parametrize("key", SETTINGS)
def test_a_run_resumes_with_another_value_where_the_field_allows_it(key: str) -> None:
    """The run began with a value that no setting has."""
    config = RunConfig()
    methods = {"info": lambda _: began, "check_format": lambda _: None}
    run: Any = type("Run", (), {"path": Path("run"), **methods})()
    began = {"settings": {**settings(config), key: "another"}}
    if SETTINGS[key].resume != "no":
        check_settings(run, config)
        return
    with pytest.raises(RunError) as caught:
        check_settings(run, config)
    assert f'  {key}: "another" then' in str(caught.value)


def test_what_a_search_may_not_vary_is_marked_at_the_fields() -> None:
    """What decides on the photos, the first weights, and where a step is computed."""
    assert {key for key, one in SETTINGS.items() if one.no_search} == {
        "seed",
        "data.dir",
        "data.val",
        "data.test",
        "data.root",
        "data.group_by",
        "data.val_split",
        "data.test_split",
        "data.split",
        "data.split_seed",
        "data.folds",
        "data.fold",
        "data.skip_bad",
        "model.weights",
        "train.monitor",
        "train.devices",
        "train.shard",
    }


@pytest.mark.parametrize("key", [key for key, one in SETTINGS.items() if one.no_search])
def test_a_search_refuses_what_it_may_not_vary(key: str) -> None:
    """With the reason that the field has."""
    with pytest.raises(ConfigError) as caught:
        check_space({key: (1, 2)}, RunConfig(), where="space")
    assert str(caught.value) == f"space: {key} {SETTINGS[key].no_search}"


def test_cached_features_are_kept_by_the_settings_that_decide_them() -> None:
    """Beside the weights, the photos and the machine."""
    assert {key for key, one in SETTINGS.items() if "features" in one.affects} == {
        "model.arch",
        "model.width",
        "model.batch_norm",
        "model.preprocessing",
        "train.batch_size",
        "train.accumulate",
        "train.precision",
    }


@pytest.mark.parametrize("one", SETTINGS.values(), ids=SETTINGS)
def test_every_setting_says_what_it_is_and_what_it_affects(one: Setting) -> None:
    """A sentence that ends, and at least one part."""
    assert one.description.endswith(".")
    assert one.description[0].isupper()
    assert one.affects


def test_no_two_settings_have_one_flag() -> None:
    """A command takes all of them."""
    flags = [one.flag for one in SETTINGS.values() if one.flag]
    assert len(flags) == len({*flags}) == 54
