"""Commands that take the settings of `train` without declaring them again."""

from __future__ import annotations

import inspect
from typing import Annotated, Any

import pytest
import typer
from typer.testing import CliRunner

from kvgg_jax.cli.commands.train import train
from kvgg_jax.cli.flags import KEYS
from kvgg_jax.cli.options import OF_A_RUN, takes_settings


def test_what_is_shared_is_every_setting_and_nothing_else() -> None:
    """An option that `train` gains is one of these, or is named as of a run."""
    options = set(inspect.signature(train).parameters)
    assert options - set(OF_A_RUN) == set(KEYS) | {"config", "recipe", "set_"}


def test_a_command_has_its_own_options_and_those_of_train_but_for_some() -> None:
    """They reach it by name; one that was not typed is None, as in `train`."""
    app, seen = typer.Typer(), dict[str, Any]()

    @app.command()
    @takes_settings("lr")
    def try_it(rounds: Annotated[int, typer.Option(help="How many.")] = 3, **given: Any) -> None:
        seen.update(given, rounds=rounds)

    words = ["--rounds", "4", "--head", "gap", "--no-batch-norm", "--set", "a=1", "--set", "b=2"]
    assert CliRunner().invoke(app, words).exit_code == 0
    typed = {"rounds": 4, "head": "gap", "batch_norm": False, "set_": ["a=1", "b=2"]}
    names = (set(KEYS) | {"config", "recipe", "set_", "rounds"}) - {"lr"}
    assert seen == {**dict.fromkeys(names), **typed}
    assert CliRunner().invoke(app, ["--lr", "1"]).exit_code == 2


@pytest.mark.parametrize("option", OF_A_RUN)
def test_what_is_of_a_run_is_not_shared(option: str) -> None:
    """Another command has no run to name."""

    @takes_settings()
    def try_it(**given: Any) -> None:
        pass

    assert option not in inspect.signature(try_it).parameters
